"""The cluster with closed doors, as containers; its settings are tried in tests/deploy."""

import base64
import json

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PORTS = dict.fromkeys(
    (
        "NSQ_LOOKUPD_1_HTTPS",
        "NSQ_LOOKUPD_2_HTTPS",
        "NSQ_NSQD_A_TCP",
        "NSQ_NSQD_A_HTTPS",
        "NSQ_NSQD_B_TCP",
        "NSQ_NSQD_B_HTTPS",
        "NSQ_ADMIN_HTTP",
    ),
    "127.0.0.1:",
)


def test_it_comes_up_with_secrets_of_its_own_and_asks_who_one_is(make_cluster):
    with make_cluster("deploy/docker-compose.secure.yml", alone=True, **PORTS) as cluster:
        (admin,) = cluster.containers("nsqadmin")
        password = cluster.compose("exec", "-T", "nsqadmin", "cat", "/secrets/clients/admin")
        assert len(password) == 24
        page = cluster.published(admin, 4171)
        assert cluster.ask("GET", page, "/api/nodes")[0] == 401
        status, answer = cluster.ask("GET", page, "/livez")
        assert status == 200, answer
        credentials = base64.b64encode(f"admin:{password}".encode()).decode()
        made = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        status, answer = cluster.ask("POST", page, "/api/topics", b'{"topic": "orders"}', made)
        assert status == 200, answer
        assert '"event":"create_topic","outcome":"done","user":"admin"' in cluster.compose(
            "logs", "nsqadmin"
        )
        # both nsqd have registered, over TLS, at both nsqlookupd: they are ready
        logs = cluster.compose("logs", "nsqd-a", "nsqd-b")
        assert password not in logs
        # nobody without a key finds a door open; nsqadmin's page is for a proxy with TLS
        found = cluster.compose(
            "exec", "-T", "nsqadmin", "nsqctl", "doctor", "--json",
            "--lookupd-http-address=nsqlookupd-1:4161", "--lookupd-http-address=nsqlookupd-2:4161",
            "--nsqadmin-http-address=127.0.0.1:4171", "--tls-root-ca-file=/secrets/ca.crt",
            "--token-file=/secrets/token",
        )  # fmt: skip
        doors = [each for each in json.loads(found) if each["level"] == "open"]
        assert [each["subject"] for each in doors] == ["nsqadmin 127.0.0.1:4171"]
        assert "as they are" in doors[0]["problem"]
