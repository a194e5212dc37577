"""A cluster of both: what is ours has its doors closed, and the original's go on at open ones."""

import json
import urllib.request
from functools import partial

import pytest
from tests.e2e.certificates import TOKEN, port
from tests.e2e.daemons import BIN, wait_until
from tests.e2e.original import admin, original, run, running

from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token

pytestmark = pytest.mark.slow

EVERY_LINE = [b"%d" % number for number in range(20)]


def registered(lookupd, headers=None):
    return {node["http_port"] for node in lookupd.get("/nodes", headers)["producers"]}


@pytest.fixture
def cluster(daemon, files):
    """Our nsqlookupd and nsqd, with TLS and certificates between them, and the original's two."""
    theirs = partial(daemon, path=original("nsqlookupd"))("nsqlookupd")
    ours = daemon(
        "nsqlookupd", *files.flags("tls-", "server"), "--tls-client-auth-policy=require-verify",
        "--tls-tcp-address=127.0.0.1:0", "--https-address=127.0.0.1:0",
    )  # fmt: skip
    closed = daemon(
        "nsqd", f"--lookupd-tcp-address=tls://localhost:{port(ours, 'TLS')}",
        f"--lookupd-tcp-address={theirs.tcp}", *files.flags("lookupd-tls-", "client"),
    )  # fmt: skip
    plain = daemon(
        "nsqd", f"--lookupd-tcp-address={ours.tcp}", f"--lookupd-tcp-address={theirs.tcp}",
        path=original("nsqd"),
    )  # fmt: skip
    wanted = {closed.http_port, plain.http_port}
    wait_until(lambda: registered(ours) == registered(theirs) == wanted, "all are registered")
    return {"ours": ours, "theirs": theirs}, {"ours": closed, "theirs": plain}


def test_an_nsqd_of_the_original_does_not_get_in_at_the_closed_port(daemon, files):
    lookupd = daemon(
        "nsqlookupd", *files.flags("tls-", "server"), "--tls-client-auth-policy=require-verify",
        "--tls-tcp-address=127.0.0.1:0", "--https-address=127.0.0.1:0",
    )  # fmt: skip
    address = f"--lookupd-tcp-address=127.0.0.1:{port(lookupd, 'TLS')}"
    stranger = daemon("nsqd", address, path=original("nsqd"))
    wait_until(lambda: "LOOKUPD(" in stranger.log() and "ERR" in stranger.log(), "it is refused")
    assert registered(lookupd) == set()


@pytest.mark.parametrize("asked", ["ours", "theirs"])
@pytest.mark.parametrize("tools", ["ours", "theirs"])
def test_what_either_publishes_is_found_and_consumed_by_either(cluster, asked, tools):
    lookupds, nsqds = cluster
    of = {"ours": BIN.__truediv__, "theirs": original}
    for nsqd in nsqds.values():
        # each half is published by the other's tool
        publish = of["theirs" if tools == "ours" else "ours"]("to_nsq")
        run(publish, f"--nsqd-tcp-address={nsqd.tcp}", "--topic=t", lines=EVERY_LINE)
    lookupd = lookupds[asked]
    wait_until(lambda: len(producers(lookupd, "t")) == 2, "both have the topic")
    got = run(
        of[tools]("nsq_tail"), f"--lookupd-http-address={lookupd.http}", "--topic=t",
        "--channel=c", f"-n={2 * len(EVERY_LINE)}",
    )  # fmt: skip
    assert sorted(got) == sorted(2 * EVERY_LINE)


def producers(lookupd, topic):
    status, content = lookupd.request("GET", f"/lookup?topic={topic}")
    return json.loads(content)["producers"] if status == 200 else []


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_each_nsqadmin_shows_and_changes_both(cluster, tmp_path, whose):
    lookupds, nsqds = cluster
    program = BIN / "nsqadmin" if whose == "ours" else original("nsqadmin")
    for nsqd in nsqds.values():
        nsqd.create("t", "c")
    for lookupd in lookupds.values():
        wait_until(lambda lookupd=lookupd: len(producers(lookupd, "t")) == 2, "both have it")
    flags = [f"--lookupd-http-address={each.http}" for each in lookupds.values()]
    with admin(program, tmp_path, *flags) as address:
        nodes = ask(f"http://{address}/api/nodes")["nodes"]
        assert {node["http_port"] for node in nodes} == {n.http_port for n in nsqds.values()}
        assert len(ask(f"http://{address}/api/topics/t/c")["nodes"]) == 2
        ask(f"http://{address}/api/topics/t/c", {"action": "pause"})
        assert all(nsqd.channel("t", "c")["paused"] for nsqd in nsqds.values())
        ask(f"http://{address}/api/topics", {"topic": "made", "channel": "there"})
        assert ask(f"http://{address}/api/topics")["topics"] == ["made", "t"]


def ask(url, body=None):
    """The JSON of an API; with a body it is posted."""
    raw = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, raw, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        content = answer.read()
        return json.loads(content) if content else None


def test_clients_of_the_original_show_their_secrets_where_doors_are_closed(
    daemon,
    files,
    tmp_path,
):
    auth, acl = tmp_path / "users", tmp_path / "acl.json"
    hashed = hash_token(TOKEN)
    auth.write_text(entry("consumers", ("read",), hashed, ("t*",)))
    allowed = {"topic": "^t$", "channels": ["^c$", "^$"], "permissions": ["publish", "subscribe"]}
    client = {"identity": "consumers", "secret": hashed, "authorizations": [allowed]}
    acl.write_text(json.dumps({"clients": [client]}))
    lookupd = daemon("nsqlookupd", f"--auth-file={auth}")
    nsqd = daemon(
        "nsqd", f"--lookupd-tcp-address={lookupd.tcp}", f"--auth-acl-file={acl}",
        *files.flags("tls-", "server"), "--tls-required=tcp-https", "--https-address=",
    )  # fmt: skip
    tail, publish = original("nsq_tail"), original("to_nsq")
    ca = f"tls_root_ca_file,{files.folder / 'ca.pem'}"
    to = [f"--nsqd-tcp-address=localhost:{nsqd.tcp_port}", "--topic=t"]
    secret = f"auth_secret,{TOKEN}"
    flags = [f"--producer-opt={option}" for option in ("tls_v1,true", ca)]
    assert run(publish, *to, *flags, f"--producer-opt={secret}", lines=EVERY_LINE) == []
    for wrong in ([*flags, "--producer-opt=auth_secret,wrong"], [f"--producer-opt={secret}"]):
        with pytest.raises(AssertionError, match=r"E_AUTH|E_INVALID|TLS"):
            run(publish, *to, *wrong, lines=EVERY_LINE)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    wait_until(lambda: lookupd.get("/lookup?topic=t", bearer)["producers"], "it is registered")
    asked = [f"--lookupd-http-address={lookupd.http}", "--topic=t", "--channel=c"]
    log = tmp_path / "refused"
    with running(tail, log, *asked, "-n=1"):
        wait_until(lambda: b"401" in log.read_bytes(), "it was refused")
    opts = [f"--consumer-opt={each}" for each in ("tls_v1,true", ca, secret)]
    opts.append("--consumer-opt=tls_insecure_skip_verify,true")  # it is found by its address
    got = run(tail, *asked, *opts, f"-n={len(EVERY_LINE)}")
    assert sorted(got) == sorted(EVERY_LINE)
