"""No secret is told: every one has a mark, and nothing that the programs write or answer has it.

What is told otherwise: what an administrator types on a command line is in the process list.
"""

import base64
import json
import os
import re
import signal
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from attrs import define, field
from tests.e2e.certificates import PATIENT, Files, make_files
from tests.e2e.daemons import PATIENCE, wait_until
from tests.e2e.peer import Peer, body
from tests.nsqadmin.auth.test_accounts import cheap_hash
from tests.nsqadmin.web.test_matrix import EXPECTED as ADMIN_ROUTES
from tests.nsqctl.program import nsqctl
from tests.nsqd.http.test_doors import EXPECTED as NSQD_ROUTES
from tests.nsqlookupd.test_doors import EXPECTED as LOOKUPD_ROUTES
from tests.support import forks

from nsqadmin.config.options import NsqadminOptions
from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token
from nsqcore.app.config.options import settings
from nsqd.config.options import NsqdOptions
from nsqlookupd.options import NsqlookupdOptions

pytestmark = pytest.mark.slow

MARK = "5ecret5"
NOBODY = "127.0.0.1:1"  # where nobody listens
OWN = ("set-cookie", "location")  # have what this very client has to have, or has said
LISTENING = r" {}: listening on 127\.0\.0\.1:(\d+)"


def secret(name: str) -> str:
    """A secret that is known wherever it comes up."""
    return f"{MARK}-{name}"


@define
class Stage:
    """Programs that were given secrets, and all that they have said."""

    folder: Path
    files: Files
    said: dict[str, str] = field(factory=dict)
    started: list[forks.Process] = field(factory=list)

    def file(self, name: str, content: str) -> str:
        """The path of a file with ``content``."""
        path = self.folder / name
        path.write_text(content)
        return str(path)

    def start(self, program: str, *flags: str, name: str = "", **variables: str) -> forks.Process:
        """Start a program; what it is not given by flags it has from ``variables``."""
        log = self.folder / f"{name or program}.log"
        with log.open("wb") as told, open(os.devnull) as nothing:
            made = forks.start(
                [program, *flags], stdin=nothing.fileno(), stdout=told.fileno(),
                stderr=told.fileno(), env=os.environ | variables, cwd=self.folder,
            )  # fmt: skip
        self.started.append(made)
        return made

    def log(self, name: str) -> str:
        """All that a program has written."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def port(self, name: str, kind: str) -> int:
        """Where a program listens, once it does."""
        line = re.compile(LISTENING.format(kind))
        wait_until(lambda: line.search(self.log(name)), f"{name} listens for {kind}")
        found = line.search(self.log(name))
        assert found
        return int(found[1])

    def ask(self, method: str, at: int, path: str, *, https: bool = False, sent: bytes = b"",
            **headers: str) -> int:  # fmt: skip
        """The status of an answer, which is kept."""
        kind = HTTPSConnection if https else HTTPConnection
        more = {"context": self.files.trust()} if https else {}
        connection = kind("localhost", at, timeout=PATIENCE, **more)
        try:
            connection.request(
                method, path, sent, {k.replace("_", "-"): v for k, v in headers.items()}
            )
            answer = connection.getresponse()
            head = {
                k: v for k, v in answer.getheaders() if k.lower() not in ("set-cookie", "location")
            }
            told = answer.read().decode(errors="replace")
            self.said[f"{method} {at} {path} {len(self.said)}"] = f"{head}\n{told}"
            return answer.status
        finally:
            connection.close()


@pytest.fixture
def stage(tmp_path) -> Iterator[Stage]:
    made = Stage(tmp_path, make_files(tmp_path))
    yield made
    for each in made.started:
        each.kill()
        each.wait()


def test_no_secret_is_told(stage):
    token = secret("admin-token")
    shared = "\n".join(
        [
            entry("ops", ("admin",), hash_token(token), None),
            f"ann:admin:{cheap_hash(secret('password'))}",
        ]
    )
    stage.file("auth", shared)
    tls = [*stage.files.flags("tls-", "server"), "--tls-client-auth-policy=verify-if-given"]
    anywhere = ["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"]
    common = [*anywhere, *tls, "--https-address=127.0.0.1:0", "--log-level=debug"]
    common.append(f"--auth-file={stage.folder}/auth")
    lookupd = stage.start("nsqlookupd", *common, "--tls-tcp-address=127.0.0.1:0")
    allowed = {"topic": ".*", "channels": [".*"], "permissions": ["publish", "subscribe"]}
    client = {"secret": hash_token(secret("acl")), "authorizations": [allowed]}
    acl = stage.file("acl", json.dumps({"clients": [client]}))
    servers = f"http://user:{secret('url')}@{NOBODY}/auth?api_key={secret('query-key')}"
    nsqd = stage.start(
        "nsqd", *common, f"--data-path={stage.folder}", f"--auth-acl-file={acl}",
        f"--lookupd-tcp-address=tls://localhost:{stage.port('nsqlookupd', 'TLS')}",
        *stage.files.flags("lookupd-tls-", "client"), "--broadcast-address=localhost",
        f"--lookupd-token-file={stage.file('token', secret('lookupd-token'))}",
        NSQD_AUTH_HTTP_ADDRESS_FILE=stage.file("servers", servers),
    )  # fmt: skip
    admin = stage.start(
        "nsqadmin", "--http-address=127.0.0.1:0", f"--auth-file={stage.folder}/auth",
        "--log-level=debug", *PATIENT, f"--audit-file={stage.folder}/audit.log",
        f"--lookupd-http-address=https://localhost:{stage.port('nsqlookupd', 'HTTPS')}",
        f"--http-client-tls-root-ca-file={stage.folder}/ca.pem",
        f"--http-client-token-file={stage.file('admin-token', token)}",
        f"--oidc-issuer=http://{NOBODY}", "--oidc-client-id=x", "--oidc-role=a=viewer",
        f"--oidc-client-secret-file={stage.file('oidc', secret('oidc'))}",
        NSQADMIN_NOTIFICATION_HTTP_ENDPOINT=f"http://u:{secret('webhook')}@{NOBODY}/?token="
        + secret("webhook-query"),
        NSQADMIN_PROXY_GRAPHITE="true",
        NSQADMIN_GRAPHITE_URL=f"http://u:{secret('graphite')}@{NOBODY}",
    )  # fmt: skip

    make_noise_at_nsqd(stage, stage.port("nsqd", "TCP"))
    for name, routes, options in (
        ("nsqd", NSQD_ROUTES, NsqdOptions), ("nsqlookupd", LOOKUPD_ROUTES, NsqlookupdOptions),
    ):  # fmt: skip
        ask_everything(stage, name, routes, options, f"Bearer {token}")
    make_noise_at_nsqadmin(stage)
    make_noise_of_clients(stage, stage.port("nsqd", "TCP"))

    stage.file("auth", f"{shared}\nbroken:admin:{secret('hash')}\n")
    stage.file("acl", json.dumps({"clients": [client, {"secret": secret("plain")}]}))
    for process, name in ((nsqd, "nsqd"), (lookupd, "nsqlookupd"), (admin, "nsqadmin")):
        os.kill(process.pid, signal.SIGUSR1)
        wait_until(lambda name=name: "<init>" in stage.log(name), "the tasks are told")
        if name != "nsqadmin":
            os.kill(process.pid, signal.SIGHUP)
            wait_until(lambda name=name: "keeping the credentials" in stage.log(name), "it is read")
    wait_until(lambda: "keeping the permissions" in stage.log("nsqd"), "it is read")
    for path in stage.folder.glob("*.log"):
        stage.said[path.name] = path.read_text(errors="replace")
    assert len(stage.said["audit.log"].splitlines()) >= 3
    assert "127.0.0.1:1" in stage.said["nsqd.log"]  # the auth server failed, and is named
    marks = [MARK, *marks_of_keys(stage.folder)]
    marks += [hash_token(secret(name)) for name in ("admin-token", "acl", "lookupd-token")]
    marks.append(base64.b64encode(f"ann:{MARK}".encode()).decode()[:12])
    for where, told in stage.said.items():
        found = [mark for mark in marks if mark in told]
        assert not found, (where, [told[max(0, told.index(m) - 200) :][:300] for m in found])


def marks_of_keys(folder: Path) -> list[str]:
    """A line out of each private key."""
    return [path.read_text().splitlines()[2] for path in folder.glob("*.key")]


def make_noise_at_nsqd(stage: Stage, at: int) -> None:
    """Clients that AUTH with what the file does not have, and with nonsense."""
    hello = body(b'{"feature_negotiation": true}')
    for words in (
        [b"AUTH\n", body(secret("client").encode())],
        [b"AUTH\n", body(secret("acl").encode())],
        [f"AUTH {secret('line')}\n".encode()],
        [f"auth {secret('line')}\n".encode()],
        [b"AUTH\n", body(b"")],
    ):
        peer = Peer.connect(at)
        peer.ask(b"IDENTIFY\n", hello)
        stage.said[f"AUTH {len(stage.said)}"] = peer.ask(*words).decode(errors="replace")
        peer.close()
    peer = Peer.connect(at)
    peer.send(b"IDENTIFY\n", hello, b"AUTH\n", body(secret("acl").encode()))
    peer.send(b"SUB t c\n")
    stage.said["frames"] = repr([peer.frame() for _ in range(3)])
    peer.close()


def ask_everything(
    stage: Stage, name: str, routes: dict[str, object], options: type, credential: str
) -> None:
    """Ask a daemon for all that it tells, and send secrets to where they do not belong."""
    plain, https = stage.port(name, "HTTP"), stage.port(name, "HTTPS")
    for route in routes:
        method, path = route.split()
        if method != "GET" or path.endswith("/profile"):
            continue
        for setting in settings(options, name) if ":opt" in path else [None]:
            target = path.replace(":opt", setting.key) if setting else f"{path}?format=json"
            stage.ask("GET", plain, target, Authorization=credential)
    assert stage.ask("GET", https, "/info", https=True, Authorization=credential) == 200
    wrong = secret("wrong")
    for path, headers in (
        (f"/stats?token={wrong}", {}),
        (f"/lookup?topic=t&access_token={wrong}&secret={wrong}", {}),
        ("/info", {"Authorization": f"Bearer {wrong}"}),
        ("/info", {"Authorization": f"Basic {base64.b64encode(wrong.encode()).decode()}"}),
        ("/info", {"Authorization": wrong}),
        ("/info", {"Cookie": f"token={wrong}"}),
        ("/nowhere", {"Authorization": f"Bearer {wrong}"}),
    ):
        stage.ask("GET", plain, path, **headers)
        stage.ask("POST", plain, path, **headers)


def make_noise_at_nsqadmin(stage: Stage) -> None:
    """Logins that fail and one that does not, every page, and actions that are told of."""
    at = stage.port("nsqadmin", "HTTP")
    wrong, right = secret("guess"), f"ann:{secret('password')}"
    basic = {"Authorization": f"Basic {base64.b64encode(right.encode()).decode()}"}
    guess = base64.b64encode(f"ann:{wrong}".encode()).decode()
    assert stage.ask("GET", at, "/api/topics", Authorization=f"Basic {guess}") == 401
    stage.ask("GET", at, "/api/topics", Cookie=f"nsqadmin_session={secret('cookie')}")
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    stage.ask("POST", at, "/login", sent=f"user=ann&password={quote(wrong)}".encode(), **form)
    stage.ask("GET", at, f"/login/oidc/callback?code={secret('code')}&state=x")
    stage.ask("GET", at, "/login/oidc")
    for route, expected in ADMIN_ROUTES.items():
        method, path = route.split()
        if method == "GET" and "oidc" not in path and "<name>" not in path:
            stage.ask("GET", at, expected.path or path, Accept="text/html", **basic)
    for setting in settings(NsqadminOptions, "nsqadmin"):
        stage.ask("GET", at, f"/config/{setting.key}", **basic)
    made = json.dumps({"topic": "t", "channel": "c"}).encode()
    assert stage.ask("POST", at, "/api/topics", sent=made, **basic) == 200
    wait_until(lambda: NOBODY in stage.log("nsqadmin"), "the webhook is told of, in vain")


def make_noise_of_clients(stage: Stage, at: int) -> None:
    """Utilities and nsqctl that are refused, or cannot deliver."""
    options = f"auth_secret_file={stage.file('acl-secret', secret('acl'))}"
    shown = {"NSQ_TO_HTTP_CONSUMER_OPT": options, "NSQ_TO_HTTP_LOG_LEVEL": "debug"}
    to = [f"--nsqd-tcp-address=127.0.0.1:{at}", "--topic=t"]
    for path in "/topic/create?topic=t", "/channel/create?topic=t&channel=http", "/pub?topic=t":
        bearer = f"Bearer {secret('acl' if 'pub' in path else 'admin-token')}"
        done = stage.ask("POST", stage.port("nsqd", "HTTP"), path, sent=b"x", Authorization=bearer)
        assert done == 200, path
    stage.start(
        "nsq_to_http", *to, "--channel=http", **shown,
        NSQ_TO_HTTP_POST=f"http://u:{secret('post')}@{NOBODY}/?token={secret('post-query')}",
        NSQ_TO_HTTP_HEADER=f"Authorization: Bearer {secret('header')}",
    )  # fmt: skip
    wait_until(lambda: NOBODY in stage.log("nsq_to_http"), "the message is not delivered")
    tail = stage.start(
        "nsq_tail", *to, "--channel=tail", "-n=1",
        NSQ_TAIL_CONSUMER_OPT=f"auth_secret={secret('tail')},max_attempts=1",
    )  # fmt: skip
    wait_until(lambda: "AUTH" in stage.log("nsq_tail"), "it is refused")
    tail.kill()
    os.environ["NSQCTL_TOKEN"] = secret("nsqctl")
    try:
        http = f"127.0.0.1:{stage.port('nsqd', 'HTTP')}"
        stage.said["nsqctl"] = repr(nsqctl("nodes", f"--nsqd-http-address={http}", status=1))
    finally:
        del os.environ["NSQCTL_TOKEN"]
