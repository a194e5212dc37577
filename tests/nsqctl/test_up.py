"""`nsqctl up`: a cluster that starts anywhere, loses nothing, and leaves nobody behind."""

import os
import signal
import socket
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.daemons import PATIENCE, wait_until
from tests.nsqctl.program import Up, nsqctl

from nsqcore.app.process.interfaces import default_address
from nsqctl.up.plan import UpOptions, plan
from nsqctl.up.summary import summary

pytestmark = pytest.mark.slow

SMALL = ("--nsqd=1", "--no-admin")

open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # without a proxy


def publish(up: Up, topic: str, *bodies: bytes, to: str = "nsqd-1") -> None:
    url = f"http://{up.address(to)}/mpub?topic={topic}"
    with open_url(url, data=b"\n".join(bodies)) as answer:
        assert answer.read() == b"OK"


def told_of(url: str, text: bytes) -> bool:
    """Whether ``url`` answers with ``text`` in it: registration takes a moment."""
    try:
        with open_url(url) as answer:
            return text in answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        return False


def depth(up: Up, topic: str) -> int:
    url = f"http://{up.address('nsqd-1')}/stats?topic={topic}"
    with open_url(url) as answer:
        found = [line for line in answer.read().decode().splitlines() if f"[{topic}" in line]
    return int(found[0].split("depth:")[1].split()[0]) if found else 0


def test_the_cluster_is_at_the_well_known_ports_and_every_address_told_answers(cluster: Up):
    cluster.start()
    told = cluster.out.read_text()
    assert told.startswith("Starting nsqlookupd, nsqd-1, nsqd-2, nsqadmin")  # at once
    assert len(cluster.err.read_text().splitlines()) < 5
    for number, port in (("nsqlookupd", 4161), ("nsqd-1", 4151), ("nsqd-2", 4153)):
        assert cluster.address(number) == f"{cluster.host}:{port}"
        with open_url(f"http://{cluster.host}:{port}/ping") as answer:
            assert answer.read() == b"OK"
    assert f"http://{cluster.host}:4171" in told
    with open_url(f"http://{cluster.host}:4171/") as answer:
        assert b"<html" in answer.read()
    publish(cluster, "greetings", b"hello")
    for line in told.splitlines():
        if line.strip().startswith("curl 'http"):
            wait_until(partial(told_of, line.split("'")[1], b"4151"), line)
    assert cluster.stop() == 0


def test_the_suggested_nsq_tail_can_be_called_where_it_is_not_on_the_path(cluster: Up):
    path = os.environ["PATH"]
    os.environ["PATH"] = "/usr/bin:/bin"
    try:
        cluster.start(*SMALL)
    finally:
        os.environ["PATH"] = path
    line = next(line for line in cluster.out.read_text().splitlines() if "nsq_tail" in line)
    assert (cluster.folder / line.split()[0]).exists()


def test_taken_ports_are_passed_over(cluster: Up):
    with socket.socket() as taken, socket.socket() as also_taken:
        taken.bind((cluster.host, 4150))
        taken.listen()
        also_taken.bind((cluster.host, 4160))
        also_taken.listen()
        cluster.start("--nsqd=2", "--no-admin")
        assert "nsqd-1 is at port 4151: another program has 4150" in cluster.out.read_text()
        assert cluster.address("nsqd-1", "tcp") == f"{cluster.host}:4151"
        assert cluster.address("nsqd-1") == f"{cluster.host}:4152"
        assert cluster.address("nsqlookupd", "tcp") == f"{cluster.host}:4161"
        assert cluster.stop() == 0


def test_what_was_not_consumed_is_there_at_the_next_start(cluster: Up):
    for count, number in enumerate((signal.SIGINT, signal.SIGHUP, signal.SIGTERM)):
        cluster.start(*SMALL)
        assert depth(cluster, "kept") == count * 1000
        publish(cluster, "kept", *(b"%d" % n for n in range(1000)))
        assert cluster.stop(number) == 0
        assert "Stopped." in cluster.out.read_text()
        assert not cluster.members()


def test_the_end_of_the_terminal_does_not_end_a_cluster_under_nohup(cluster: Up):
    cluster.start(*SMALL, nohup=True)
    assert cluster.process is not None
    cluster.process.send_signal(signal.SIGHUP)
    publish(cluster, "still", b"here")
    assert cluster.stop() == 0


def test_signals_that_mean_nothing_do_not_end_the_cluster(cluster: Up):
    cluster.start(*SMALL)
    assert cluster.process is not None
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGIO):
        cluster.process.send_signal(number)
        publish(cluster, "still", b"here")
    assert cluster.stop() == 0


def test_a_member_that_dies_ends_the_cluster_and_is_named(cluster: Up):
    cluster.start("--nsqd=2", "--no-admin")
    publish(cluster, "kept", b"1", b"2")
    os.kill(cluster.members()["nsqd-2"], signal.SIGKILL)
    assert cluster.process is not None
    assert cluster.process.wait(PATIENCE) == 1
    last = cluster.err.read_text().splitlines()[-1]
    assert last == "nsqctl: nsqd-2 ended by itself, killed by SIGKILL: its log is above"
    assert not cluster.members()
    cluster.start("--nsqd=2", "--no-admin")
    assert depth(cluster, "kept") == 2


def test_nsqctl_killed_takes_the_cluster_with_it_and_nothing_is_lost(cluster: Up):
    cluster.start(*SMALL)
    publish(cluster, "kept", b"1", b"2", b"3")
    cluster.stop(signal.SIGKILL)
    wait_until(lambda: not cluster.members(), "the members have stopped")
    cluster.start(*SMALL)
    assert depth(cluster, "kept") == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("started", ["nsqlookupd", "nsqd-1", "nsqadmin"])
def test_a_signal_while_starting_leaves_nobody_behind(
    cluster: Up, started: str, number: signal.Signals
):
    cluster.spawn("--nsqd=1")
    wait_until(lambda: started in cluster.members(), f"{started} has a process")
    assert cluster.stop(number) == (-number if number is signal.SIGKILL else 0)
    wait_until(lambda: not cluster.members(), "nobody is left")


def test_a_second_cluster_on_the_same_data_ends_with_a_clear_line(cluster: Up, tmp_path: Path):
    cluster.start(*SMALL)
    other = Up(tmp_path / "other")
    other.spawn(*SMALL, f"--data-path={cluster.folder / 'data'}")
    assert other.process is not None
    assert other.process.wait(PATIENCE) == 1
    data = cluster.folder / "data"
    told = f"nsqctl: {data} is in use, by another nsqctl up most likely; --data-path=DIR"
    assert other.err.read_text().startswith(told)
    assert not other.members()
    publish(cluster, "undisturbed", b"1")
    assert cluster.stop() == 0


def test_files_in_the_current_directory_are_not_taken_for_modules(cluster: Up):
    cluster.folder.mkdir()
    for name in ("trio.py", "nsqd.py", "socket.py"):
        (cluster.folder / name).write_text("raise SystemExit('not this one')")
    cluster.start(*SMALL)
    assert cluster.stop() == 0


def ephemeral(cluster: Up) -> list[str]:
    """What a cluster on every interface tells, without starting it: the ports may be in use."""
    options = UpOptions(host="0.0.0.0", data_path=cluster.folder / "data")
    planned = plan(options)
    return [flag for member in planned.members for flag in member.arguments]


def test_a_cluster_on_every_interface_does_not_send_others_to_their_own_loopback(cluster: Up):
    told = [flag for flag in ephemeral(cluster) if flag.startswith("--broadcast-address=")]
    assert len(told) == 3
    own = default_address()
    if not own:
        pytest.skip("this machine has no address but loopback")
    assert set(told) == {f"--broadcast-address={own}"}


def test_the_banner_has_no_address_that_nobody_can_open(cluster: Up):
    options = UpOptions(host="0.0.0.0", data_path=cluster.folder / "data")
    text = "\n".join(summary(plan(options), options))
    assert "0.0.0.0" not in text


def test_what_others_are_told_and_what_is_logged_can_be_given(cluster: Up):
    cluster.start(*SMALL, "--broadcast-address=mars.example", "--log-level=info")
    assert "listening on" in cluster.err.read_text()
    with open_url(f"http://{cluster.host}:4151/info") as answer:
        assert b'"broadcast_address":"mars.example"' in answer.read()
    assert cluster.stop() == 0


@pytest.mark.parametrize(
    ("flags", "status", "told"),
    [
        (["--nsqd=0"], 2, "--nsqd: between 1 and 1023"),
        (["--nsqd=abc"], 2, "--nsqd: 'abc' is no whole number"),
        (["--host="], 1, "nsqctl: --host is empty"),
        (["--host=a..b"], 1, "nsqctl: cannot listen on a..b"),
        (["--host=203.0.113.1"], 1, "nsqctl: cannot listen on 203.0.113.1"),
        (["--host=no.such.invalid"], 1, "nsqctl: cannot listen on no.such.invalid"),
        (["--data-path=/dev/null/data"], 1, "/dev/null/data"),
    ],
)
def test_what_cannot_be_started_is_told_in_a_line(flags: list[str], status: int, told: str):
    assert told in nsqctl("up", *flags, status=status)[1].splitlines()[-1]


def test_all_nsqd_share_an_address_for_publishers_if_that_is_wanted(cluster: Up):
    cluster.start("--nsqd=2", "--no-admin", "--shared-ports")
    assert cluster.address("publish to") == f"{cluster.host}:4141"
    publish(cluster, "greetings", b"hello", to="publish to")
    assert cluster.stop() == 0
