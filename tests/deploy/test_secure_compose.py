"""The cluster with closed doors: what its first start makes opens every door for whom it should."""

import os
import re
import socket
import ssl
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml
from tests.e2e.daemons import wait_until

import nsqclient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "deploy/docker-compose.secure.yml").read_text())["services"]
PATH = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """What `nsq-secrets` makes for the names of the compose file."""
    folder = tmp_path_factory.mktemp("secrets")
    make_secrets(folder, *map(usual, SERVICES["secrets"]["command"][1:]))
    return folder


def usual(text: str) -> str:
    """``text`` where none of its variables is set."""
    return re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text)


def make_secrets(folder: Path, *names: str) -> None:
    script = ROOT / "deploy/docker/nsq-secrets"
    environment = {"PATH": PATH, "NSQ_SECRETS": str(folder)}
    subprocess.run([script, *names], env=environment, check=True, capture_output=True)


def environment(service: str, secrets: Path, **more: str) -> dict[str, str]:
    """The variables of a service of the compose file, as they are outside a container."""
    given = dict(SERVICES[service].get("environment", {}))
    return {k: usual(v).replace("/secrets", str(secrets)) for k, v in given.items()} | more


class Cluster:
    """An nsqlookupd and an nsqd as the compose file has them, at ports of this host."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        self.folder, self.secrets = folder, secrets
        self.processes: list[subprocess.Popen[bytes]] = []
        self.lookup = self.tcp = self.https = ""

    def open(self) -> None:
        """Start both."""
        secrets, anywhere = self.secrets, "127.0.0.1:0"
        self.start(
            "nsqlookupd",
            environment(
                "nsqlookupd-1",
                secrets,
                NSQLOOKUPD_HTTP_ADDRESS=anywhere,
                NSQLOOKUPD_TLS_TCP_ADDRESS=anywhere,
                NSQLOOKUPD_HTTPS_ADDRESS=anywhere,
                NSQLOOKUPD_EXTERNAL_HTTP_ADDRESS=anywhere,
                NSQLOOKUPD_BROADCAST_ADDRESS="127.0.0.1",
            ),
        )
        self.lookup = f"https://127.0.0.1:{self.port('nsqlookupd', 'EXTERNAL')}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.start(
            "nsqd",
            environment(
                "nsqd-a",
                secrets,
                NSQD_LOOKUPD_TCP_ADDRESS=f"tls://127.0.0.1:{self.port('nsqlookupd', 'TLS')}",
                NSQD_TCP_ADDRESS=f"127.0.0.1:{port}",
                NSQD_HTTP_ADDRESS=anywhere,
                NSQD_HTTPS_ADDRESS=anywhere,
                NSQD_EXTERNAL_ADDRESS=f"127.0.0.1:{port}",
                NSQD_DATA_PATH=str(self.folder),
            ),
        )
        self.tcp, self.https = f"127.0.0.1:{port}", f"127.0.0.1:{self.port('nsqd', 'HTTPS')}"

    def start(self, program: str, variables: dict[str, str]) -> None:
        with (self.folder / program).open("wb") as log, open(os.devnull, "rb") as nothing:
            streams: dict[str, Any] = {"stdin": nothing.fileno(), "stdout": log.fileno()}
            words = ["env", *(f"{k}={v}" for k, v in variables.items()), f"PATH={PATH}", program]
            process = subprocess.Popen(words, **streams, stderr=log.fileno())
        self.processes.append(process)

    def port(self, program: str, kind: str) -> int:
        """Where a program listens, once it does."""
        line = re.compile(rf" {kind}: listening on 127\.0\.0\.1:(\d+)")
        wait_until(lambda: line.search(self.log(program)), f"{program} listens for {kind}")
        found = line.search(self.log(program))
        assert found
        return int(found[1])

    def log(self, program: str) -> str:
        return (self.folder / program).read_text()

    def secret(self, name: str) -> str:
        """A line that is handed to clients."""
        return (self.secrets / "clients" / name).read_text().strip()

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.secrets / "ca.crt"))


@pytest.fixture(scope="module")
def cluster(secrets, tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("cluster"), secrets)
    try:
        made.open()
        yield made
    finally:
        for process in made.processes:
            process.kill()
            process.wait()


async def test_a_client_with_its_secret_gets_through_every_door(cluster):
    options = nsqclient.ConnectionOptions(tls=cluster.trust(), auth_secret=cluster.secret("app"))
    with trio.fail_after(60):
        async with nsqclient.open_producer([cluster.tcp], options=options) as producer:
            await producer.publish("orders", b"one")
        async with nsqclient.open_consumer(
            "orders",
            "c",
            lookupd=cluster.lookup,
            lookupd_tls=cluster.trust(),
            lookupd_poll_interval=0.5,
            options=options,
        ) as consumer:
            async for message in consumer:
                async with message.process():
                    assert message.body == b"one"
                break


async def test_a_client_without_one_does_not(cluster):
    options = nsqclient.ConnectionOptions(tls=cluster.trust(), auth_secret="guessed")
    with trio.fail_after(60), pytest.raises(nsqclient.ClientError):
        async with nsqclient.open_producer([cluster.tcp], options=options) as producer:
            await producer.publish("orders", b"one")


async def test_http_asks_for_a_token(cluster):
    with trio.fail_after(60):
        async with nsqclient.NsqdHttp(f"https://{cluster.https}", tls=cluster.trust()) as api:
            with pytest.raises(nsqclient.ClientError, match="UNAUTHORIZED"):
                await api.publish("orders", b"two")


def test_what_was_made_stays_and_what_was_thrown_away_is_made_anew(secrets):
    before = {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()}
    make_secrets(secrets, "localhost")
    assert {path: path.read_bytes() for path in before} == before
    (secrets / "tls.crt").unlink()
    make_secrets(secrets, "another.example")
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", secrets / "tls.crt"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "another.example" in done.stdout
    assert (secrets / "users").read_bytes() == before[secrets / "users"]


def test_nothing_but_the_certificates_can_be_read_by_others(secrets):
    for path in secrets.rglob("*"):
        assert not path.stat().st_mode & 0o077, path


@pytest.mark.parametrize("name", ["nsqlookupd-1", "nsqlookupd-2", "nsqd-a", "nsqd-b", "nsqadmin"])
def test_every_daemon_waits_until_the_secrets_are_there(name):
    needed = SERVICES[name]["depends_on"]["secrets"]["condition"]
    assert needed == "service_completed_successfully"
    assert "secrets:/secrets:ro" in SERVICES[name]["volumes"]
