"""What operators of the original rely on: reloads, outages, crowds and silence are survived."""

import json
import signal
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from attrs import define, field
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.e2e.peer import MESSAGE, Peer, body

pytestmark = pytest.mark.slow

Daemons = Callable[..., Daemon]
Peers = Callable[[Daemon], Peer]

TLS_WISH = b"IDENTIFY\n" + body(b'{"feature_negotiation": true, "tls_v1": true}')
AUTH = b"AUTH\n" + body(b"secret")


class TestCertificates:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def nsqd(self, authority: trustme.CA, daemon: Daemons, tmp_path: Path) -> Daemon:
        """An nsqd with TLS whose certificate is ``tls.pem`` beside its folder."""
        install(authority, tmp_path / "tls.pem", "first")
        return daemon(
            "nsqd",
            f"--tls-cert={tmp_path}/tls.pem",
            f"--tls-key={tmp_path}/tls.pem",
            "--https-address=127.0.0.1:0",
        )

    def test_a_reload_shows_new_connections_the_new_certificate_and_leaves_old_ones_alone(
        self, nsqd: Daemon, authority: trustme.CA, tmp_path: Path
    ) -> None:
        old = connect_tls(nsqd, authority)
        plain = Peer.connect(nsqd.tcp_port)
        assert shown_name(old.sock) == "first"
        install(authority, tmp_path / "tls.pem", "second")
        reload(nsqd, "certificates read again")

        new = connect_tls(nsqd, authority)
        assert shown_name(new.sock) == "second"
        assert https_name(nsqd, authority) == "second"
        for client in (old, plain, new):
            assert client.publish("t", b"x") == b"OK"
            client.close()

    def test_a_broken_file_keeps_the_certificate_in_use(
        self, nsqd: Daemon, authority: trustme.CA, tmp_path: Path
    ) -> None:
        old = connect_tls(nsqd, authority)
        (tmp_path / "tls.pem").write_text("no certificate at all")
        reload(nsqd, "keeping the certificates in use")
        (tmp_path / "tls.pem").unlink()
        reload(nsqd, "No such file")

        new = connect_tls(nsqd, authority)
        assert shown_name(new.sock) == "first"
        assert https_name(nsqd, authority) == "first"
        for client in (old, new):
            assert client.publish("t", b"x") == b"OK"
            client.close()


def install(authority: trustme.CA, path: Path, name: str) -> None:
    """Put a new certificate with the common name ``name`` where nsqd looks for it."""
    certificate = authority.issue_cert("127.0.0.1", common_name=name)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(path))


def reload(nsqd: Daemon, outcome: str) -> None:
    """Send SIGHUP; returns once the log has the ``outcome``."""
    assert nsqd.process is not None
    before = nsqd.log().count(outcome)
    nsqd.process.send_signal(signal.SIGHUP)
    wait_until(lambda: nsqd.log().count(outcome) > before, f"the log says {outcome!r}")


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def connect_tls(nsqd: Daemon, authority: trustme.CA) -> Peer:
    """A V2 client inside TLS."""
    plain = Peer.connect(nsqd.tcp_port)
    assert json.loads(plain.ask(TLS_WISH))["tls_v1"] is True
    inside = Peer(trusting(authority).wrap_socket(plain.sock, server_hostname="127.0.0.1"))
    assert inside.frame()[1] == b"OK"
    return inside


def https_name(nsqd: Daemon, authority: trustme.CA) -> str:
    """The common name in the certificate of the HTTPS port."""
    (line,) = [line for line in nsqd.log().splitlines() if "HTTPS: listening on" in line]
    port = int(line.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        with trusting(authority).wrap_socket(sock, server_hostname="127.0.0.1") as inside:
            return shown_name(inside)


def shown_name(sock: socket.socket) -> str:
    """The common name in the server's certificate."""
    assert isinstance(sock, ssl.SSLSocket)
    subject = dict(pair for names in sock.getpeercert()["subject"] for pair in names)
    return str(subject["commonName"])


class TestSlowAuth:
    @pytest.fixture
    def silent(self) -> Iterator[socket.socket]:
        """An auth server that takes connections and never answers."""
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
            yield listener

    def test_who_waits_for_it_delays_nobody_else(
        self, daemon: Daemons, peer: Peers, silent: socket.socket
    ) -> None:
        auth = f"--auth-http-address=127.0.0.1:{silent.getsockname()[1]}"
        nsqd = daemon("nsqd", auth, "--http-client-request-timeout=10m", "--log-level=debug")
        waiting = [peer(nsqd).send(AUTH) for _ in range(30)]
        for number in range(50):
            nsqd.post("/pub?topic=t", b"%d" % number)
        other = peer(nsqd)
        assert other.ask(b"NOP\nPUB t\n", body(b"x")) == b"E_AUTH_FIRST AUTH required before PUB"
        # all that while the first ones still waited
        for client in waiting:
            client.sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.sock.recv(1)
        silent.close()
        for client in waiting:
            client.sock.settimeout(PATIENCE)
            assert client.frame()[1] == b"E_AUTH_FAILED AUTH failed"
            assert client.is_closed()
        assert "secret" not in nsqd.log()

    def test_it_is_given_up_in_time(
        self, daemon: Daemons, peer: Peers, silent: socket.socket
    ) -> None:
        auth = f"--auth-http-address=127.0.0.1:{silent.getsockname()[1]}"
        nsqd = daemon("nsqd", auth, "--http-client-request-timeout=200ms", "--log-level=debug")
        client = peer(nsqd)
        assert client.ask(AUTH) == b"E_AUTH_FAILED AUTH failed"
        assert client.is_closed()
        assert "no answer in time" in nsqd.log()
        assert "secret" not in nsqd.log()


class TestLookupds:
    def test_one_of_three_that_is_killed_again_and_again_catches_up_each_time(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        lookupds = [daemon("nsqlookupd") for _ in range(3)]
        nsqd = daemon("nsqd", *(f"--lookupd-tcp-address={one.tcp}" for one in lookupds))
        publisher = peer(nsqd)
        wait_until(lambda: all(knows_node(one) for one in lookupds), "it is registered")
        *steady, flapping = lookupds
        names = []
        for number in range(2):
            flapping.kill()
            names.append(f"t{number}")
            assert publisher.publish(names[-1], b"x") == b"OK"
            nsqd.create(names[-1], "c")
            for one in steady:
                wait_until(lambda one=one: knows(one, names), "the others know the topic")
            flapping.start()
            wait_until(lambda: knows(flapping, names), "it knows everything again")
        for name in names:
            assert peer(nsqd).subscribe(name, "c", ready=1).message().body == b"x"

    def test_one_of_three_that_hangs_holds_up_neither_messages_nor_the_others(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        lookupds = [daemon("nsqlookupd") for _ in range(3)]
        nsqd = daemon("nsqd", *(f"--lookupd-tcp-address={one.tcp}" for one in lookupds))
        nsqd.create("t", "c")
        wait_until(lambda: all(knows(one, ["t"]) for one in lookupds), "it is registered")
        publisher, consumer = peer(nsqd), peer(nsqd).subscribe("t", "c", ready=100)
        # a new topic's messages wait until each nsqlookupd was asked for its channels
        assert publisher.publish("t", b"first") == b"OK"
        consumer.consume(1)
        *steady, hanging = lookupds
        assert hanging.process is not None
        hanging.process.send_signal(signal.SIGSTOP)
        try:
            for number in range(100):
                assert publisher.publish("t", b"%d" % number) == b"OK"
            assert len(consumer.consume(100)) == 100
            nsqd.create("new", "c")
            for one in steady:
                wait_until(lambda one=one: knows(one, ["new"]), "the others know the topic")
        finally:
            hanging.process.send_signal(signal.SIGCONT)
        wait_until(lambda: knows(hanging, ["t", "new"]), "it knows everything again")

    def test_a_stop_while_a_new_topic_waits_for_one_that_hangs_is_quick_and_loses_nothing(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        lookupd = daemon("nsqlookupd")
        nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
        wait_until(lambda: knows_node(lookupd), "it is registered")
        assert lookupd.process is not None
        lookupd.process.send_signal(signal.SIGSTOP)
        try:
            consumer = peer(nsqd).subscribe("new", "c", ready=10)
            publisher = peer(nsqd)
            assert publisher.publish("new", b"1", b"2") == b"OK"
            assert publisher.ask(b"DPUB new 60000\n", body(b"3")) == b"OK"
            assert nsqd.terminate() == 0
            consumer.close()
        finally:
            lookupd.process.send_signal(signal.SIGCONT)
        nsqd.start()
        again = peer(nsqd).subscribe("new", "c", ready=10).consume(3)
        assert sorted(message.body for message in again) == [b"1", b"2", b"3"]


def knows_node(lookupd: Daemon) -> bool:
    return bool(lookupd.get("/nodes")["producers"])


def knows(lookupd: Daemon, topics: list[str]) -> bool:
    """Whether ``lookupd`` has a producer and the channel of each of ``topics``."""
    for topic in topics:
        status, content = lookupd.request("GET", f"/lookup?topic={topic}")
        if status != 200 or not json.loads(content)["producers"]:
            return False
        if json.loads(content)["channels"] != ["c"]:
            return False
    return True


@define(eq=False)
class Traffic:
    """A well-behaved publisher and consumer at work in a thread of their own."""

    publisher: Peer
    consumer: Peer
    stopping: threading.Event = field(factory=threading.Event)
    published: list[bytes] = field(factory=list)
    received: Counter[bytes] = field(factory=Counter)
    failure: list[BaseException] = field(factory=list)

    def run(self) -> None:
        try:
            while not self.stopping.is_set() or len(self.received) < len(self.published):
                if not self.stopping.is_set():
                    batch = [b"%d" % (len(self.published) + n) for n in range(10)]
                    assert self.publisher.publish("t", *batch) == b"OK"
                    self.published += batch
                while len(self.received) < len(self.published) - 50 or self.stopping.is_set():
                    if len(self.received) == len(self.published):
                        break
                    message = self.consumer.message()
                    self.consumer.finish(message)
                    self.received[message.body] += 1
        except BaseException as error:
            self.failure.append(error)


class TestCrowds:
    def test_a_thousand_clients_that_come_and_are_reset_harm_nobodys_traffic(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd")
        nsqd.create("t", "c")
        traffic = Traffic(peer(nsqd), peer(nsqd).subscribe("t", "c", ready=20))
        before = nsqd.open_files()
        thread = threading.Thread(target=traffic.run)
        thread.start()
        last_words = [
            b"",
            b"SUB t c\nRDY 5\n",  # takes some of the traffic's messages, which have to come back
            b"PUB half\n" + struct.pack(">i", 100) + b"x" * 10,
            b"SUB t gone#ephemeral\nRDY 2500\n",
            b"IDENTIFY\n" + body(b'{"feature_negotiation": true, "deflate": true}'),
        ]
        for _ in range(10):
            crowd = [Peer.connect(nsqd.tcp_port) for _ in range(100)]
            for number, client in enumerate(crowd):
                client.send(last_words[number % len(last_words)])
            for client in crowd:
                client.reset()
        traffic.stopping.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert not traffic.failure, traffic.failure
        assert traffic.received.keys() == set(traffic.published)
        wait_until(lambda: nsqd.open_files() <= before + 2, "the sockets are closed")
        wait_until(lambda: empty(nsqd.channel("t", "c")), "nothing is left in flight")
        wait_until(lambda: nsqd.channel("t", "c")["client_count"] == 1, "the crowd is gone")
        assert "Traceback" not in nsqd.log()


def empty(channel: dict) -> bool:
    return channel["depth"] == channel["in_flight_count"] == 0


class TestSilence:
    def test_a_client_that_stops_reading_keeps_little_from_the_others_and_resumes(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon(
            "nsqd", "--max-rdy-count=10000", "--mem-queue-size=20000", "--msg-timeout=10m"
        )
        nsqd.create("t", "c")
        sent = [b"%05d" % n + bytes(4000) for n in range(10_000)]
        for first in range(0, 10_000, 500):
            assert peer(nsqd).publish("t", *sent[first : first + 500]) == b"OK"
        before = nsqd.resident()
        silent = peer(nsqd).subscribe("t", "c", ready=10_000)
        wait_until(lambda: nsqd.channel("t", "c")["in_flight_count"] > 0)

        lively = peer(nsqd).subscribe("t", "c", ready=100)
        # one mebibyte in nsqd, and what the kernel takes for a socket
        taken = [message.body for message in lively.consume(5000)]
        assert nsqd.resident() - before < 60_000_000

        # it begins to read: what it had is there, and what was kept back for it comes
        lively.send(b"CLS\n")
        while (frame := lively.frame())[0] == MESSAGE:
            taken.append(frame[1][26:])
            lively.send(b"FIN ", frame[1][10:26], b"\n")
        assert frame[1] == b"CLOSE_WAIT"
        taken += [message.body for message in silent.consume(len(sent) - len(taken))]
        assert sorted(taken) == sent
        wait_until(lambda: empty(nsqd.channel("t", "c")), "nothing is left")
