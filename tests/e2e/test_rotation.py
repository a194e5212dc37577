"""Everything secret is renewed while everything is at work, and nobody notices.

Certificates of all listeners and all clients, of a new authority at last; bearer tokens; a secret
of AUTH. Each is taken over as docs/security.md says: both are good for a while, then one.
"""

import json
import os
import re
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest
import trustme
from attrs import define, field
from tests.e2e.certificates import PATIENT, Files, make_files, port
from tests.e2e.daemons import BIN, PATIENCE, Daemon, wait_until
from tests.e2e.original import running
from tests.e2e.peer import Peer, body
from tests.nsqctl.program import nsqctl

from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token

pytestmark = pytest.mark.slow

MORE = 10  # answers that each worker gets between two steps


@define(eq=False)
class Worker:
    """Asks over one connection again and again, in a thread, until `stop`."""

    connection: HTTPConnection
    method: str
    path: str
    token: Path
    count: int = 0
    wrong: str = ""
    thread: threading.Thread = field(init=False)
    _over: threading.Event = field(factory=threading.Event)

    def start(self) -> "Worker":
        """Begin to ask."""
        self.connection.connect()
        self.connection.auto_open = 0  # a connection that was closed is an error
        self.thread = threading.Thread(target=self._work)
        self.thread.start()
        return self

    def _work(self) -> None:
        try:
            while not self._over.is_set() and not self.wrong:
                bearer = {"Authorization": f"Bearer {self.token.read_text()}"}
                self.connection.request(self.method, self.path, b"x", bearer)
                answer = self.connection.getresponse()
                told = answer.read()
                if answer.status != 200 or re.search(rb'"message":"[^"]', told):
                    self.wrong = f"{answer.status} {told!r}"
                self.count += 1
        except Exception as error:
            self.wrong = repr(error)

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self.thread.join()
        self.connection.close()


@define(eq=False)
class Cluster:
    """An nsqlookupd, an nsqd and an nsqadmin with credentials for everything, and workers."""

    folder: Path
    files: Files
    lookupd: Daemon
    nsqd: Daemon
    admin_pid: int
    admin_log: Path
    workers: list[Worker] = field(factory=list)

    def reload(self) -> None:
        """Have all daemons read their files again, and see all workers go on."""
        daemons = [(self.lookupd.pid, self.lookupd.log), (self.nsqd.pid, self.nsqd.log)]
        daemons.append((self.admin_pid, self.admin_log.read_text))
        for pid, log in daemons:
            before = log().count("read again")
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda log=log, n=before: log().count("read again") > n, "it is read again")
        self.see_progress()

    def see_progress(self) -> None:
        """Return when every worker has had `MORE` answers; fail where one was wrong."""
        wanted = [worker.count + MORE for worker in self.workers]

        def is_there() -> bool:
            assert [worker.wrong for worker in self.workers if worker.wrong] == []
            return all(worker.count >= n for worker, n in zip(self.workers, wanted, strict=True))

        wait_until(is_there, "all workers go on")

    def write(self, name: str, content: str) -> None:
        """Put a file in place of another at once."""
        new = self.folder / f"{name}.new"
        new.write_text(content)
        new.replace(self.folder / name)

    def registration(self) -> str:
        """The connection on which the nsqd is registered."""
        bearer = {"Authorization": f"Bearer {(self.folder / 'token').read_text()}"}
        (node,) = self.lookupd.get("/nodes", bearer)["producers"]
        return str(node["remote_address"])

    def serials(self) -> set[object]:
        """Those of the certificates that new connections are shown, at every listener."""
        context = self.files.trust("client")
        return {
            serial(port(self.nsqd, "HTTPS"), context),
            serial(port(self.lookupd, "HTTPS"), context),
            serial(port(self.lookupd, "TLS"), context),
            serial(self.nsqd.tcp_port, context, upgrade=True),
        }


def serial(at: int, context: ssl.SSLContext, *, upgrade: bool = False) -> object:
    """The serial number of the certificate that a new connection is shown."""
    peer = Peer.connect(at) if upgrade else None
    if peer is not None:
        peer.ask(b"IDENTIFY\n", body(b'{"tls_v1": true, "feature_negotiation": true}'))
    plain = peer.sock if peer else HTTPConnection("localhost", at, timeout=PATIENCE)
    if isinstance(plain, HTTPConnection):
        plain.connect()
        plain = plain.sock
    with context.wrap_socket(plain, server_hostname="localhost") as secure:
        return secure.getpeercert()["serialNumber"]


def users(*tokens: str) -> str:
    """An auth file with ``tokens``."""
    return "\n".join(
        entry(f"t{n}", ("admin",), hash_token(each), None) for n, each in enumerate(tokens)
    )


def clients(*secrets: str) -> str:
    """An ACL file with ``secrets``."""
    allowed = {"topic": ".*", "channels": [".*"], "permissions": ["publish", "subscribe"]}
    return json.dumps(
        {"clients": [{"secret": hash_token(each), "authorizations": [allowed]} for each in secrets]}
    )


@pytest.fixture
def cluster(daemon: Callable[..., Daemon], tmp_path: Path) -> Iterator[Cluster]:
    files = make_files(tmp_path)
    (tmp_path / "token").write_text("token-0")
    (tmp_path / "auth").write_text(users("token-0"))
    (tmp_path / "acl").write_text(clients("secret-0"))
    tls = [*files.flags("tls-", "server"), f"--auth-file={tmp_path}/auth"]
    tls += ["--tls-client-auth-policy=verify-if-given", "--https-address=127.0.0.1:0"]
    lookupd = daemon("nsqlookupd", *tls, "--tls-tcp-address=127.0.0.1:0")
    nsqd = daemon(
        "nsqd", *tls, f"--lookupd-tcp-address=tls://localhost:{port(lookupd, 'TLS')}",
        *files.flags("lookupd-tls-", "client"), f"--lookupd-token-file={tmp_path}/token",
        "--broadcast-address=localhost", f"--auth-acl-file={tmp_path}/acl",
        "--tls-required=tcp-https", *PATIENT,
    )  # fmt: skip
    flags = [
        f"--lookupd-http-address=https://localhost:{port(lookupd, 'HTTPS')}",
        f"--http-client-token-file={tmp_path}/token", "--collect-interval=200ms", *PATIENT,
        *files.flags("http-client-tls-", "client"), "--http-address=127.0.0.1:0",
    ]  # fmt: skip
    log = tmp_path / "nsqadmin.log"
    with running(BIN / "nsqadmin", log, *flags) as process:
        wait_until(lambda: "HTTP: listening on" in log.read_text(), "nsqadmin listens")
        at = log.read_text().partition("HTTP: listening on ")[2].split()[0]
        made = Cluster(tmp_path, files, lookupd, nsqd, process.pid, log)
        wait_until(lambda: lookupd.get("/nodes", {"Authorization": "Bearer token-0"})["producers"])
        trusted = files.trust("client")
        for connection, method, path in (
            (secure_connection(nsqd, trusted), "POST", "/mpub?topic=t"),
            (secure_connection(lookupd, trusted), "GET", "/lookup?topic=t"),
            (HTTPConnection(at, timeout=PATIENCE), "GET", "/api/topics/t"),
        ):
            if path.startswith("/lookup"):
                wait_until(
                    lambda: lookupd.request(
                        "GET", "/lookup?topic=t", headers={"Authorization": "Bearer token-0"}
                    )[0] == 200
                )  # fmt: skip
            made.workers.append(Worker(connection, method, path, tmp_path / "token").start())
        try:
            yield made
        finally:
            for worker in made.workers:
                worker.stop()


def secure_connection(daemon: Daemon, context: ssl.SSLContext) -> HTTPSConnection:
    return HTTPSConnection("localhost", port(daemon, "HTTPS"), context=context, timeout=PATIENCE)


def renew_certificates(cluster: Cluster, files: Files) -> None:
    """New ones of the daemons and of the clients, in place of what is there."""
    files.make("server", "localhost", "127.0.0.1")
    files.make("client", "nsqd.example", common_name="nsqd.example")
    cluster.reload()


def test_certificates_and_another_authority_are_taken_over_under_load(cluster):
    registered, seen = cluster.registration(), cluster.serials()
    assert len(seen) == 1  # one certificate for all listeners
    renew_certificates(cluster, cluster.files)
    assert not seen & cluster.serials()
    # another authority: both are trusted, then all have certificates of the new one, then it alone
    old, other = cluster.files, Files(trustme.CA(), cluster.folder)
    authorities = [each.authority.cert_pem.bytes().decode() for each in (old, other)]
    cluster.write("ca.pem", "".join(authorities))
    cluster.reload()
    renew_certificates(cluster, other)
    cluster.write("ca.pem", authorities[1])
    cluster.reload()
    assert len(cluster.serials()) == 1
    assert cluster.registration() == registered
    folder = cluster.folder
    told = nsqctl(
        "topics", *old.flags("tls-", "client"), f"--token-file={folder}/token",
        f"--lookupd-http-address=https://localhost:{port(cluster.lookupd, 'HTTPS')}",
    )  # fmt: skip
    assert "t" in told[0]


def test_tokens_and_secrets_are_taken_over_under_load(cluster):
    registered = cluster.registration()
    peer = Peer.connect(cluster.nsqd.tcp_port)
    peer.ask(b"IDENTIFY\n", body(b'{"tls_v1": true, "feature_negotiation": true}'))
    secure = cluster.files.trust().wrap_socket(peer.sock, server_hostname="localhost")
    with closing(Peer(secure)) as client:
        assert client.frame()[1] == b"OK"
        assert b"permission_count" in client.ask(b"AUTH\n", body(b"secret-0"))
        assert client.publish("t", b"x") == b"OK"
        cluster.write("auth", users("token-0", "token-1"))
        cluster.write("acl", clients("secret-0", "secret-1"))
        cluster.reload()
        assert client.publish("t", b"x") == b"OK"
        cluster.write("token", "token-1")
        cluster.see_progress()
        cluster.write("auth", users("token-1"))
        cluster.write("acl", clients("secret-1"))
        cluster.reload()
        # what is old opens nothing any more, for who is connected neither
        assert client.publish("t", b"x").startswith(b"E_")
    old = {"Authorization": "Bearer token-0"}
    assert cluster.nsqd.request("GET", "/info", headers=old)[0] == 401
    assert cluster.lookupd.request("GET", "/info", headers=old)[0] == 401
    assert cluster.registration() == registered
    # and nsqd itself shows the new one to nsqlookupd, which knows of a channel
    new = {"Authorization": "Bearer token-1"}
    for path in ("/topic/create?topic=u", "/channel/create?topic=u&channel=c"):
        assert cluster.lookupd.request("POST", path, headers=new)[0] == 200
    assert cluster.nsqd.request("POST", "/topic/create?topic=u", headers=new)[0] == 200

    def has_channel() -> bool:
        (topic,) = cluster.nsqd.get("/stats?format=json&topic=u", new)["topics"]
        return [each["channel_name"] for each in topic["channels"]] == ["c"]

    wait_until(has_channel, "it has asked")
