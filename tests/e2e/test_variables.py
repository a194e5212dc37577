"""Credentials from the environment, for each program that shows some, as docs/security.md says."""

import json
import os
import re
from http.client import HTTPConnection

import pytest
from attrs import frozen
from tests.e2e.certificates import PATIENT, TOKEN, Files, make_files, port
from tests.e2e.daemons import PATIENCE, Daemon, daemons, wait_until
from tests.nsqctl.program import nsqctl
from tests.support import forks

from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token

pytestmark = pytest.mark.slow

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@frozen
class Closed:
    """A cluster whose HTTP asks who one is, and whose nsqlookupd speaks TLS."""

    lookupd: Daemon
    nsqd: Daemon
    files: Files

    @property
    def web(self) -> str:
        """Where nsqlookupd speaks HTTPS."""
        return f"https://localhost:{port(self.lookupd, 'HTTPS')}"

    def path(self, name: str) -> str:
        """A file of credentials."""
        return str(self.files.folder / name)


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("closed")
    files = make_files(folder)
    lines = [
        entry("all", ("admin",), hash_token(TOKEN), None),
        entry("ann", ("read",), "cert:nsqd.example", None),
    ]
    (folder / "auth").write_text("\n".join(lines))
    allowed = {"topic": ".*", "channels": [".*"], "permissions": ["publish", "subscribe"]}
    client = {"identity": "all", "secret": hash_token(TOKEN), "authorizations": [allowed]}
    (folder / "acl").write_text(json.dumps({"clients": [client]}))
    tls = [*files.flags("tls-", "server"), f"--auth-file={folder}/auth"]
    tls += ["--tls-client-auth-policy=verify-if-given", "--https-address=127.0.0.1:0"]
    with daemons(folder) as make:
        lookupd = make("nsqlookupd", *tls, "--tls-tcp-address=127.0.0.1:0")
        nsqd = make(
            "nsqd", *tls, "--tls-required=tcp-https", f"--auth-acl-file={folder}/acl",
            f"--lookupd-tcp-address=tls://localhost:{port(lookupd, 'TLS')}",
            *files.flags("lookupd-tls-", "client"), f"--lookupd-token-file={folder}/token",
            "--broadcast-address=localhost",
        )  # fmt: skip
        wait_until(lambda: lookupd.get("/nodes", BEARER)["producers"], "it is registered")
        yield Closed(lookupd, nsqd, files)


@pytest.fixture
def start(tmp_path):
    """Starts programs with an environment of their own, which end with the test."""
    started: list[forks.Process] = []

    def start(program: str, *flags: str, fed: bytes = b"", **variables: str) -> forks.Process:
        (tmp_path / "fed").write_bytes(fed)
        with (tmp_path / "fed").open() as stdin, (tmp_path / "told").open("wb") as told:
            started.append(
                forks.start(
                    [program, *flags], stdin=stdin.fileno(), stdout=told.fileno(),
                    stderr=told.fileno(), env=os.environ | variables,
                )
            )  # fmt: skip
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()


@pytest.fixture
def run(start, tmp_path):
    """Runs a program to its end: its exit status, and all that it says."""

    def run(program: str, *flags: str, fed: bytes = b"", **variables: str) -> tuple[int, str]:
        status = start(program, *flags, fed=fed, **variables).wait(PATIENCE)
        return status, (tmp_path / "told").read_text()

    return run


def test_nsqctl_takes_all_that_it_shows_from_the_environment(closed, monkeypatch):
    def give(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"NSQCTL_{name}", value)

    give(LOOKUPD_HTTP_ADDRESS=closed.web)
    assert "CERTIFICATE_VERIFY_FAILED" in nsqctl("nodes", status=1)[1]
    give(TLS_ROOT_CA_FILE=closed.path("ca.pem"))
    assert "401" in nsqctl("nodes", status=1)[1]
    give(TOKEN=f"{TOKEN}\nall:admin:sha256:0")  # both lines of what `nsqctl token` prints
    assert "localhost" in nsqctl("nodes")[0]
    nsqctl("create", "t", "c")
    monkeypatch.delenv("NSQCTL_TOKEN")
    give(TOKEN_FILE=closed.path("token"))
    assert "localhost" in nsqctl("nodes")[0]
    monkeypatch.delenv("NSQCTL_TOKEN_FILE")
    give(TLS_CERT=closed.path("client.pem"), TLS_KEY=closed.path("client.key"))
    assert "localhost" in nsqctl("nodes")[0]
    # the certificate may read alone
    assert "role operate" in nsqctl("create", "t", "c", status=1)[1]


def test_nsqctl_publishes_and_consumes_at_nsqds_that_want_tls_and_a_secret(
    closed, monkeypatch, tmp_path
):
    variables = {
        "LOOKUPD_HTTP_ADDRESS": closed.web,
        "TLS_ROOT_CA_FILE": closed.path("ca.pem"),
        "TOKEN_FILE": closed.path("token"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"NSQCTL_{name}", value)
    nsqctl("create", "pictures", "c")
    (tmp_path / "cat").write_bytes(b"meow")
    assert "published 1 message" in nsqctl("pub", "pictures", str(tmp_path / "cat"))[0]
    assert nsqctl("sub", "pictures", "c", "--count=1")[0] == "meow\n"
    measured = nsqctl(
        "bench", f"--nsqd-tcp-address=localhost:{closed.nsqd.tcp_port}",
        f"--nsqd-http-address=https://localhost:{port(closed.nsqd, 'HTTPS')}",
        f"--lookupd-http-address={closed.web}", "--count=100", "--seconds=0.01",
    )[0]  # fmt: skip
    assert "published per second" in measured


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TOKEN", "b\u00e4d-secret", "$NSQCTL_TOKEN: its first line is no token"),
        ("TOKEN", "bad\rsecret", "$NSQCTL_TOKEN: its first line is no token"),
        ("TOKEN", "bad secret", "$NSQCTL_TOKEN: its first line is no token"),
        ("TOKEN", "x" * 10_000, "$NSQCTL_TOKEN: its first line is no token"),
        ("TOKEN_FILE", "/nowhere", "/nowhere: No such file"),
        ("TOKEN_FILE", os.devnull, "its first line is no token"),
        ("TLS_ROOT_CA_FILE", "/nowhere", "certificate authority /nowhere"),
        ("TLS_CERT", "/nowhere", "client certificate /nowhere"),
        ("LOOKUPD_HTTP_ADDRESS", "http://u:secret@", "NSQCTL_LOOKUPD_HTTP_ADDRESS"),
    ],
)
def test_nsqctl_names_a_variable_that_is_wrong_and_shows_no_secret(monkeypatch, name, value, said):
    monkeypatch.setenv(f"NSQCTL_{name}", value)
    told = nsqctl("nodes", status=2 if name == "LOOKUPD_HTTP_ADDRESS" else 1)[1]
    assert said in told
    assert "secret" not in told
    assert "xxxx" not in told


def test_utilities_take_all_that_they_show_from_the_environment(closed, run):
    """Options of the client have ``=`` there: a comma would begin the next one."""
    options = f"tls_v1,tls_root_ca_file={closed.path('ca.pem')},auth_secret_file="
    options += closed.path("token")
    to = [f"--nsqd-tcp-address=localhost:{closed.nsqd.tcp_port}", "--topic=t"]
    assert run("to_nsq", *to, fed=b"one\n", TO_NSQ_PRODUCER_OPT=options) == (0, "")
    at = [f"--lookupd-http-address={closed.web}", "--topic=t"]
    tail = [*at, "--channel=c", "-n=1"]
    status, told = run("nsq_tail", *tail, NSQ_TAIL_CONSUMER_OPT=options)
    assert (status, "one\n" in told) == (0, True), told
    (closed.files.folder / "options").write_text(options.replace(",", "\n"))
    assert run("to_nsq", *to, fed=b"two\n", TO_NSQ_PRODUCER_OPT_FILE=closed.path("options"))[0] == 0
    assert "two\n" in run("nsq_tail", *tail, NSQ_TAIL_CONSUMER_OPT_FILE=closed.path("options"))[1]
    status, told = run(
        "nsq_stat", *at, "--channel=c", "--count=1", "--interval=10ms",
        NSQ_STAT_HTTP_CLIENT_TOKEN_FILE=closed.path("token"),
        NSQ_STAT_HTTP_CLIENT_TLS_ROOT_CA_FILE=closed.path("ca.pem"),
    )  # fmt: skip
    assert (status, "401" in told) == (0, False), told


def test_nsqadmin_takes_all_that_it_shows_from_the_environment(closed, start, tmp_path):
    given = {
        "NSQADMIN_LOOKUPD_HTTP_ADDRESS": closed.web,
        "NSQADMIN_HTTP_CLIENT_TLS_ROOT_CA_FILE": closed.path("ca.pem"),
    }
    token = {"NSQADMIN_HTTP_CLIENT_TOKEN_FILE": closed.path("token")}
    # a variable with _FILE has its value in a file: here the paths of a certificate and its key
    certificate = {}
    for name, value in (("CERT", "client.pem"), ("KEY", "client.key")):
        (tmp_path / name).write_text(closed.path(value))
        certificate[f"NSQADMIN_HTTP_CLIENT_TLS_{name}_FILE"] = str(tmp_path / name)
    listening = re.compile(r"HTTP: listening on (127\.0\.0\.1:\d+)")
    for shown in token, certificate:
        start("nsqadmin", "--http-address=127.0.0.1:0", *PATIENT, **given, **shown)
        log = tmp_path / "told"
        wait_until(lambda log=log: listening.search(log.read_text()), "nsqadmin listens")
        connection = HTTPConnection(listening.search(log.read_text())[1], timeout=PATIENCE)
        connection.request("GET", "/api/nodes")
        told = connection.getresponse().read().decode()
        connection.close()
        assert str(closed.nsqd.http_port) in told
