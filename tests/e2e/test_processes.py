"""``nsqd --processes``: several nsqd under a supervisor, as real processes."""

import http.client
import json
import os
import re
import signal
import socket

import pytest
from tests.e2e.daemons import PATIENCE, wait_until
from tests.e2e.peer import Peer

pytestmark = pytest.mark.slow


def found(nsqd, pattern: str) -> list[str]:
    return re.findall(pattern, nsqd.log())


def pids(nsqd) -> list[int]:
    return [int(pid) for pid in found(nsqd, r"is started, pid (\d+)")]


def ports_of_second(nsqd) -> list[str]:
    return found(nsqd, r"\[nsqd-1\] .* TCP: listening on 127\.0\.0\.1:(\d+)")


def port_of_second(nsqd) -> int:
    return int(ports_of_second(nsqd)[-1])


def all_ready(nsqd) -> bool:
    return bool(found(nsqd, "all 2 nsqd are ready"))


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def peers():
    made = []

    def connect(port):
        made.append(Peer.connect(port))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def test_one_that_crashes_comes_back_with_its_data_and_the_others_do_not_notice(daemon, peers):
    lookupd = daemon("nsqlookupd")
    flags = (f"--lookupd-tcp-address={lookupd.tcp}", "--mem-queue-size=0")
    nsqd = daemon("nsqd", "--processes=2", *flags)
    wait_until(lambda: len(lookupd.get("/nodes")["producers"]) == 2, "both are registered")
    wait_until(lambda: all_ready(nsqd), "both are ready")
    first, second = lookupd.get("/nodes")["producers"]
    if first["tcp_port"] == port_of_second(nsqd):
        first, second = second, first
    other = peers(first["tcp_port"])
    assert other.publish("other", b"x") == b"OK"
    assert peers(second["tcp_port"]).publish("t", b"1", b"2", b"3") == b"OK"

    pid = int(found(nsqd, r"nsqd\(1\) is started, pid (\d+)")[0])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(found(nsqd, r"nsqd\(1\) is started")) == 2, "it is started again")
    wait_until(lambda: len(ports_of_second(nsqd)) == 2, "it listens")
    consumer = peers(port_of_second(nsqd)).subscribe("t", "c", ready=3)
    assert sorted(consumer.message().body for _ in range(3)) == [b"1", b"2", b"3"]
    wait_until(lambda: len(lookupd.get("/nodes")["producers"]) == 2, "it is registered again")
    assert other.publish("other", b"y") == b"OK"


def test_sigterm_stops_all_of_them_and_nothing_is_lost(daemon, peers):
    nsqd = daemon("nsqd", "--processes=2")
    wait_until(lambda: all_ready(nsqd), "both are ready")
    assert peers(port_of_second(nsqd)).publish("t", b"kept") == b"OK"
    assert nsqd.terminate() == 0
    assert all(is_gone(pid) for pid in pids(nsqd))
    assert (nsqd.data / "nsqd-1" / "t.diskqueue.000000.dat").read_bytes().endswith(b"kept")


def test_they_do_not_outlive_their_supervisor(daemon):
    nsqd = daemon("nsqd", "--processes=2")
    wait_until(lambda: all_ready(nsqd), "both are ready")
    nsqd.kill()
    wait_until(lambda: all(is_gone(pid) for pid in pids(nsqd)), "they are gone")


def test_where_one_cannot_start_none_is_left(daemon):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] - 100
        nsqd = daemon("nsqlookupd")  # only for its folder and its clean-up
        nsqd.terminate()
        nsqd.program, nsqd.tcp_port = "nsqd", port
        nsqd.flags = ["--processes=2", "--http-address="]
        nsqd.spawn()
        assert nsqd.process.wait(PATIENCE) == 1
    assert found(nsqd, r"nsqd\(.\) ended with status 1 before it was ready")
    assert all(is_gone(pid) for pid in pids(nsqd))


def test_one_that_is_drained_stays_away(daemon):
    nsqd = daemon("nsqd", "--processes=2")
    wait_until(lambda: all_ready(nsqd), "both are ready")
    port = int(found(nsqd, r"\[nsqd-1\] .* HTTP: listening on 127\.0\.0\.1:(\d+)")[-1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("PUT", "/config/drain")
    assert connection.getresponse().status == 200
    connection.close()
    wait_until(lambda: found(nsqd, r"nsqd\(1\) has ended"), "it has ended")
    assert nsqd.process.poll() is None
    assert nsqd.terminate() == 0


def test_publishers_have_one_address_and_reach_every_member(daemon, peers):
    with socket.socket() as tcp, socket.socket() as web:
        for held in (tcp, web):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(("127.0.0.1", 0))
        ports = tcp.getsockname()[1], web.getsockname()[1]
        nsqd = daemon(
            "nsqd",
            "--processes=2",
            f"--shared-tcp-address=127.0.0.1:{ports[0]}",
            f"--shared-http-address=127.0.0.1:{ports[1]}",
        )
        wait_until(lambda: all_ready(nsqd), "both are ready")
        for _ in range(40):  # all at one of two: once in 2 ** 39 runs
            assert peers(ports[0]).publish("t", b"x") == b"OK"
        told = r"\[%s\] .* HTTP: listening on 127\.0\.0\.1:(\d+)"
        depths = [depth_at(int(found(nsqd, told % name)[-1])) for name in ("nsqd", "nsqd-1")]
        assert sum(depths) == 40
        assert all(depths)
        os.kill(pids(nsqd)[1], signal.SIGKILL)
        wait_until(lambda: found(nsqd, "ended with status"), "one is gone")
        for _ in range(10):
            assert peers(ports[0]).publish("t", b"y") == b"OK"


def depth_at(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/stats?format=json&topic=t")
    topics = json.loads(connection.getresponse().read())["topics"]
    connection.close()
    return sum(topic["depth"] for topic in topics)
