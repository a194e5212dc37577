"""What real processes do when peers, disks and operators misbehave."""

import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.e2e.peer import Peer, body

pytestmark = pytest.mark.slow

Daemons = Callable[..., Daemon]
Peers = Callable[[Daemon], Peer]


def numbered(count: int, size: int = 100) -> list[bytes]:
    """``count`` different bodies of ``size`` bytes."""
    return [b"%08d" % n + b"x" * (size - 8) for n in range(count)]


def assert_serves(nsqd: Daemon, client: Peer, topic: str = "healthy") -> None:
    """A client that behaves can publish and consume."""
    publisher = client
    assert publisher.publish(topic, b"one", b"two") == b"OK"
    consumer = Peer.connect(nsqd.tcp_port).subscribe(topic, "ch", ready=10)
    assert {message.body for message in consumer.consume(2)} == {b"one", b"two"}
    consumer.close()


class TestKilled:
    def test_acknowledged_and_synced_messages_survive_kill_9(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd", "--mem-queue-size=0", "--sync-every=1")
        nsqd.create("topic", "ch")
        publisher = peer(nsqd)
        bodies = numbered(50)
        for one in bodies:
            assert publisher.ask(b"PUB topic\n", body(one)) == b"OK"
        nsqd.kill()

        nsqd.start()
        consumer = peer(nsqd).subscribe("topic", "ch", ready=100)
        assert {message.body for message in consumer.consume(50)} >= set(bodies)

    def test_a_killed_nsqd_can_be_started_again_at_once_on_the_same_ports(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd")
        ports = nsqd.tcp_port, nsqd.http_port
        client = peer(nsqd)
        assert client.publish("topic", b"x") == b"OK"
        nsqd.kill()

        nsqd.start()
        assert (nsqd.tcp_port, nsqd.http_port) == ports
        assert_serves(nsqd, peer(nsqd))


class TestStopped:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_stop_keeps_queued_in_flight_and_deferred_messages(
        self, daemon: Daemons, peer: Peers, number: signal.Signals
    ) -> None:
        nsqd = daemon("nsqd")
        nsqd.create("topic", "ch")
        publisher = peer(nsqd)
        bodies = {*numbered(20), b"deferred"}
        assert publisher.publish("topic", *numbered(20)) == b"OK"
        assert publisher.ask(b"DPUB topic 1\n", body(b"deferred")) == b"OK"
        holder = peer(nsqd).subscribe("topic", "ch", ready=5)
        held = [holder.message() for _ in range(5)]
        assert nsqd.process is not None
        nsqd.process.send_signal(number)
        assert nsqd.process.wait(PATIENCE) == 0

        nsqd.start()
        consumer = peer(nsqd).subscribe("topic", "ch", ready=50)
        again = {message.body: message for message in consumer.consume(21)}
        assert set(again) == bodies
        assert all(again[message.body].attempts == 2 for message in held)
        assert all(again[message.body].id == message.id for message in held)

    def test_a_second_nsqd_on_the_same_data_path_refuses_to_start(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd")
        second = Daemon("nsqd", nsqd.folder, starts=nsqd.starts)
        second.spawn()
        try:
            assert second.process is not None
            assert second.process.wait(PATIENCE) != 0
        finally:
            second.clean_up()
        assert str(nsqd.data) in second.log()
        assert_serves(nsqd, peer(nsqd))


class TestFullDisk:
    def test_publishing_fails_without_room_and_works_again_with_it(
        self, daemon: Daemons, peer: Peers, small_disk: Path
    ) -> None:
        nsqd = daemon("nsqd", "--mem-queue-size=0", "--sync-every=1", f"--data-path={small_disk}")
        nsqd.create("topic", "ch")
        filler = small_disk / "filler"
        fill_up(filler)
        accepted = publish_until_refused(peer(nsqd))
        wait_until(lambda: reports_trouble(nsqd), "/ping reports the full disk")
        filler.unlink()
        wait_until(lambda: accepts(nsqd, b"afterwards"))
        wait_until(lambda: nsqd.request("GET", "/ping")[0] == 200)
        assert_everything_arrives(nsqd, peer(nsqd), {*accepted, b"afterwards"})

    def test_it_is_ready_again_when_there_is_room_though_nobody_publishes(
        self, daemon: Daemons, small_disk: Path
    ) -> None:
        nsqd = daemon(
            "nsqd", "--mem-queue-size=0", "--max-msg-size=100000", f"--data-path={small_disk}"
        )
        fill_up(small_disk / "filler")
        wait_until(lambda: reports_trouble(nsqd), "/ping reports the full disk")
        status, body = nsqd.request("GET", "/readyz")
        assert status == 503
        assert b"No space left" in body
        (small_disk / "filler").unlink()
        wait_until(lambda: nsqd.request("GET", "/readyz")[0] == 200, "it is ready")

    def test_publishing_fails_at_the_file_size_limit_and_works_again_when_it_is_raised(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd", "--mem-queue-size=0", "--sync-every=1", limits=limit_file_size)
        nsqd.create("topic", "ch")
        accepted = publish_until_refused(peer(nsqd))
        wait_until(lambda: reports_trouble(nsqd), "/ping reports the full disk")
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(nsqd.pid, resource.RLIMIT_FSIZE, unlimited)
        wait_until(lambda: accepts(nsqd, b"afterwards"))
        wait_until(lambda: nsqd.request("GET", "/ping")[0] == 200)
        assert_everything_arrives(nsqd, peer(nsqd), {*accepted, b"afterwards"})

    @pytest.mark.parametrize("mode", ["none", "os", "always"])
    def test_publishing_ends_before_the_disk_is_full_and_consumers_make_room(
        self, daemon: Daemons, peer: Peers, small_disk: Path, mode: str
    ) -> None:
        small_disk = resized(small_disk, "40m")
        nsqd = daemon(
            "nsqd",
            "--mem-queue-size=0",
            f"--durability={mode}",
            "--journal-file-size=8388608",
            "--min-free-bytes=4194304",
            f"--data-path={small_disk}",
        )
        nsqd.create("topic", "ch")
        publisher, accepted = peer(nsqd), 0
        while accepts(nsqd, b"x" * 500_000):
            accepted += 1
            assert accepted < 80, "forty megabytes were accepted"
        refused = publisher.ask(b"PUB topic\n", body(b"x"))
        assert refused.startswith(b"E_PUB_FAILED PUB failed ")
        assert b"less than --min-free-bytes=4194304" in refused
        free = os.statvfs(small_disk)
        assert free.f_bavail * free.f_frsize > 1_000_000
        status, told = nsqd.request("GET", "/readyz")
        assert (status, b"--min-free-bytes" in told) == (503, True)
        assert nsqd.request("GET", "/ping") == (200, b"OK")  # the disk works
        consumer = peer(nsqd).subscribe("topic", "ch", ready=10)
        assert len(consumer.consume(accepted)) == accepted
        nsqd.post("/topic/delete?topic=topic")
        wait_until(lambda: nsqd.request("GET", "/readyz")[0] == 200, "it is ready")
        assert accepts(nsqd, b"afterwards")


def resized(disk: Path, size: str) -> Path:
    """``disk``, a tmpfs, with another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
    return disk


def limit_file_size() -> None:
    """No file of this process may grow over 256 KiB; the hard limit stays open."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, resource.RLIM_INFINITY))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this machine lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root and the right to mount")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill_up(filler: Path) -> None:
    """Write ``filler`` until its file system has no room for a message."""
    with filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(b"\0" * 1024):
                pass
        file.truncate(file.tell() - 65536)


def publish_until_refused(publisher: Peer) -> list[bytes]:
    """The bodies accepted before the first refusal, which is the protocol's."""
    accepted: list[bytes] = []
    for one in numbered(2000, size=1000):
        answer = publisher.ask(b"PUB topic\n", body(one))
        if answer != b"OK":
            assert answer.startswith(b"E_PUB_FAILED"), answer
            return accepted
        accepted.append(one)
    raise AssertionError("two megabytes were accepted")


def reports_trouble(nsqd: Daemon) -> bool:
    """Whether a refused publish shows in /ping."""
    refused = not accepts(nsqd, b"x" * 100_000)
    return refused and nsqd.request("GET", "/ping")[0] == 500


def accepts(nsqd: Daemon, message: bytes) -> bool:
    """Whether publishing works."""
    return nsqd.request("POST", "/pub?topic=topic", message)[0] == 200


def assert_everything_arrives(nsqd: Daemon, consumer: Peer, bodies: set[bytes]) -> None:
    """Every one of ``bodies`` comes."""
    consumer.subscribe("topic", "ch", ready=100)
    missing = set(bodies)
    while missing:
        message = consumer.message()
        consumer.finish(message)
        missing.discard(message.body)


class TestGarbage:
    def test_garbage_on_the_tcp_port_closes_that_connection_and_no_other(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd")
        healthy = peer(nsqd)
        noise = random.Random(4)
        for size in (1, 4, 5, 100, 5000):
            sock = socket.create_connection(("127.0.0.1", nsqd.tcp_port), timeout=PATIENCE)
            sock.sendall(b"\xff" + noise.randbytes(size))
            with contextlib.suppress(OSError):  # it may have hung up already
                sock.shutdown(socket.SHUT_WR)
            assert Peer(sock).is_closed()
            sock.close()
        for size in (10, 5000):
            client = peer(nsqd).send(b"\xff" + noise.randbytes(size) + b"\n")
            assert client.is_closed()
        assert_serves(nsqd, healthy)

    def test_garbage_on_the_http_port_gets_an_error_and_is_closed(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd")
        noise = random.Random(5)
        for start in (
            b"\xff",
            b"GET / HTTP/9.9\r\n",
            b"POST /pub HTTP/1.1\r\nContent-Length: x\r\n",
        ):
            sock = socket.create_connection(("127.0.0.1", nsqd.http_port), timeout=PATIENCE)
            sock.sendall(start + noise.randbytes(2000) + b"\r\n\r\n")
            assert Peer(sock).is_closed()
            sock.close()
        assert nsqd.request("GET", "/ping") == (200, b"OK")
        assert_serves(nsqd, peer(nsqd))

    def test_half_sent_messages_are_not_published(self, daemon: Daemons, peer: Peers) -> None:
        nsqd = daemon("nsqd")
        nsqd.create("topic", "ch")
        for _ in range(20):
            half = peer(nsqd).send(b"PUB topic\n", body(b"x" * 100)[:50])
            half.close()
            sock = socket.create_connection(("127.0.0.1", nsqd.http_port), timeout=PATIENCE)
            sock.sendall(
                b"POST /pub?topic=topic HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nx"
            )
            sock.close()
        assert_serves(nsqd, peer(nsqd))
        assert nsqd.channel("topic", "ch")["message_count"] == 0

    def test_a_size_over_the_limit_is_refused_before_its_bytes_are_awaited(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd")
        client = peer(nsqd)
        assert client.ask(b"PUB topic\n", b"\x7f\xff\xff\xff").startswith(b"E_BAD_MESSAGE")
        assert client.is_closed()
        assert_serves(nsqd, peer(nsqd))


class TestSilentClients:
    def test_a_client_that_never_reads_holds_up_nobody_and_little_memory(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd", "--max-rdy-count=10000", "--mem-queue-size=20000")
        nsqd.create("topic", "stuck", "lively")
        silent = peer(nsqd).subscribe("topic", "stuck", ready=10_000)
        lively = peer(nsqd).subscribe("topic", "lively", ready=1000)
        before = nsqd.resident()
        publisher = peer(nsqd)
        bodies = numbered(10_000, size=1000)
        for first in range(0, 10_000, 500):
            assert publisher.publish("topic", *bodies[first : first + 500]) == b"OK"
        assert {message.body for message in lively.consume(10_000)} == set(bodies)
        # ten megabytes of messages: queued once, and at most twice more on their way out
        assert nsqd.resident() - before < 100_000_000

        silent.reset()
        wait_until(lambda: nsqd.channel("topic", "stuck")["client_count"] == 0)
        assert nsqd.request("GET", "/ping") == (200, b"OK")

    def test_a_thousand_connections_opened_and_reset_leave_nothing_behind(
        self, daemon: Daemons, peer: Peers
    ) -> None:
        nsqd = daemon("nsqd")
        healthy = peer(nsqd)
        assert healthy.publish("healthy", b"before") == b"OK"
        before = nsqd.open_files()
        for round_ in range(10):
            crowd = [Peer.connect(nsqd.tcp_port) for _ in range(100)]
            for number, client in enumerate(crowd):
                if number % 3 == round_ % 3:
                    client.send(b"SUB topic ch#ephemeral\nRDY 1\n")
                client.reset()
        wait_until(lambda: nsqd.open_files() <= before + 2, "the sockets are closed")
        nsqd.post("/topic/empty?topic=healthy")
        assert_serves(nsqd, healthy)
