"""nsq_tail, as a process."""

import os
import re
import signal
import subprocess

import pytest
from tests.e2e.daemons import BIN, PATIENCE, Daemon, wait_until
from tests.nsqtools.tools import consuming, settled

pytestmark = pytest.mark.slow


def test_as_many_messages_are_shown_as_are_wanted(nsqd, tool):
    nsqd.create("orders", "c")
    nsqd.post("/mpub?topic=orders", b"\n".join(b"%d" % number for number in range(10)))
    tail = tool(
        "nsq_tail", "--topic=orders", "-channel=c", "-n", "4", f"--nsqd-tcp-address={nsqd.tcp}"
    )
    assert tail.wait() == 0
    assert len(tail.lines) == 4
    wait_until(lambda: nsqd.channel("orders", "c")["in_flight_count"] == 0, "nothing is held")
    stats = nsqd.channel("orders", "c")
    assert stats["depth"] + stats["deferred_count"] == 6


def test_several_topics_are_told_apart(nsqd, tool):
    for topic in ("a", "b"):
        nsqd.create(topic)
    tail = tool("nsq_tail", "--topic=a", "--topic=b", "--channel=c", "--print-topic",
                f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    for topic in ("a", "b"):
        consuming(nsqd, topic, "c")
        nsqd.post(f"/pub?topic={topic}", b"one of " + topic.encode())
    wait_until(lambda: tail.lines == [b"a | one of a", b"b | one of b"], "both are shown")
    assert tail.end() == 0


def test_a_total_is_one_of_all_topics(nsqd, tool):
    for topic in ("a", "b"):
        nsqd.post(f"/mpub?topic={topic}", b"1\n2")
    tail = tool("nsq_tail", "--topic=a", "--topic=b", "-n=3", f"--nsqd-tcp-address={nsqd.tcp}")
    assert tail.wait() == 0
    assert len(tail.lines) == 3


def test_the_channel_is_random_and_goes_away(nsqd, tool):
    nsqd.create("orders")
    tail = tool("nsq_tail", "--topic=orders", f"--nsqd-tcp-address={nsqd.tcp}")

    def channels() -> list[str]:
        stats = nsqd.get("/stats?format=json&topic=orders")["topics"]
        return [channel["channel_name"] for channel in stats[0]["channels"]]

    wait_until(channels, "the channel is there")
    assert re.fullmatch(r"tail\d{6}#ephemeral", channels()[0])
    assert tail.end(signal.SIGINT) == 0
    wait_until(lambda: not channels(), "the channel is gone")


def test_a_reader_that_goes_away_ends_it_as_it_ends_others(nsqd):
    nsqd.create("orders", "c")
    command = [str(BIN / "nsq_tail"), "--topic=orders", "--channel=c",
               f"--nsqd-tcp-address={nsqd.tcp}"]  # fmt: skip
    tail = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert tail.stdout is not None
    consuming(nsqd, "orders", "c")
    nsqd.post("/pub?topic=orders", b"first")
    assert tail.stdout.readline() == b"first\n"
    settled(nsqd, "orders", "c", 1)
    tail.stdout.close()
    nsqd.post("/pub?topic=orders", b"second")
    assert tail.wait(PATIENCE) == -signal.SIGPIPE
    wait_until(lambda: nsqd.channel("orders", "c")["in_flight_count"] == 0, "nothing is held")
    assert nsqd.channel("orders", "c")["depth"] == 1


def is_stuck(nsqd: Daemon) -> bool:
    """Whether all messages were sent, and more are unfinished than a pipe's buffer explains."""
    stats = nsqd.channel("orders", "c")
    return stats["depth"] == 0 and stats["in_flight_count"] > 100


def test_a_reader_that_does_not_read_does_not_keep_it_from_ending(nsqd):
    nsqd.create("orders", "c")
    reading, writing = os.pipe()
    command = [str(BIN / "nsq_tail"), "--topic=orders", "--channel=c",
               f"--nsqd-tcp-address={nsqd.tcp}"]  # fmt: skip
    tail = subprocess.Popen(command, stdout=writing, stderr=subprocess.DEVNULL)
    try:
        os.close(writing)
        nsqd.post("/mpub?topic=orders", b"\n".join([b"x" * 1000] * 200))
        wait_until(lambda: is_stuck(nsqd), "it is stuck")
        tail.terminate()
        assert tail.wait(PATIENCE) == 0
    finally:
        os.close(reading)
    wait_until(lambda: nsqd.channel("orders", "c")["in_flight_count"] == 0, "nothing is held")
    # but for what the pipe has room for, all of it went back
    assert nsqd.channel("orders", "c")["depth"] > 100


def test_an_nsqd_that_cannot_be_reached_ends_it(tool):
    tail = tool("nsq_tail", "--topic=orders", "--nsqd-tcp-address=127.0.0.1:1")
    assert tail.wait() == 1
    assert "127.0.0.1:1" in tail.err.splitlines()[-1]
    assert "Traceback" not in tail.err


def test_an_nsqd_that_went_away_is_awaited(daemon, tool):
    nsqd = daemon("nsqd")
    nsqd.create("orders", "c")
    tail = tool("nsq_tail", "--topic=orders", "--channel=c", f"--nsqd-tcp-address={nsqd.tcp}")
    consuming(nsqd, "orders", "c")
    nsqd.kill()
    nsqd.start()
    nsqd.post("/pub?topic=orders", b"after")
    wait_until(lambda: tail.lines == [b"after"], "it is shown")
    settled(nsqd, "orders", "c", 1)
    assert tail.end() == 0


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        (["--topic=bad topic"], 1),
        (["--topic=t", "--channel=bad!"], 1),
        (["--topic=t", "--max-in-flight=0"], 1),
        (["--topic=t", "--nsqd-tcp-address=:x"], 1),
        (["--topic=t", "--consumer-opt=nonsense"], 2),
        (["--topic=t", "--consumer-opt=snappy", "--consumer-opt=deflate"], 1),
        (["--topic=t", "-n=some"], 2),
    ],
)
def test_wrong_settings_are_one_clear_line(tool, flags, status):
    tail = tool("nsq_tail", "--nsqd-tcp-address=127.0.0.1:1", *flags)
    assert tail.wait() == status
    assert "Traceback" not in tail.err
    assert tail.out == b""


@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_reader_that_takes_a_few_messages_is_not_given_more(nsqd, tool_process, count):
    nsqd.create("orders", "c")
    nsqd.post("/mpub?topic=orders", b"\n".join(b"%d" % number for number in range(100)))
    reading, writing = os.pipe()
    head = subprocess.Popen(["head", f"-{count}"], stdin=reading, stdout=subprocess.PIPE)
    os.close(reading)
    tail = tool_process("nsq_tail", "--topic=orders", "--channel=c",
                        f"--nsqd-tcp-address={nsqd.tcp}", stdout=writing)  # fmt: skip
    os.close(writing)
    shown, _ = head.communicate(timeout=PATIENCE)
    assert shown.count(b"\n") == count
    assert tail.wait() == -signal.SIGPIPE
    wait_until(lambda: not nsqd.channel("orders", "c")["clients"], "it has left")
    stats = nsqd.channel("orders", "c")
    assert stats["depth"] + stats["deferred_count"] == 100 - count


def test_non_blocking_output_is_written_whole(nsqd, tool):
    nsqd.create("orders", "c")
    bodies = [b"%04d" % number * 500 for number in range(300)]
    nsqd.post("/mpub?topic=orders", b"\n".join(bodies))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    tail = tool("nsq_tail", "--topic=orders", "--channel=c", "-n=300",
                f"--nsqd-tcp-address={nsqd.tcp}", stdout=writing)  # fmt: skip
    os.close(writing)
    found = b""
    while part := os.read(reading, 65536):
        found += part
    os.close(reading)
    assert tail.wait() == 0
    assert sorted(found.split()) == bodies


def test_what_cannot_be_written_is_not_finished_and_named(nsqd, tool):
    nsqd.create("orders", "c")
    nsqd.post("/mpub?topic=orders", b"1\n2\n3")
    full = os.open("/dev/full", os.O_WRONLY)
    tail = tool("nsq_tail", "--topic=orders", "--channel=c",
                f"--nsqd-tcp-address={nsqd.tcp}", stdout=full)  # fmt: skip
    os.close(full)
    assert tail.wait() == 1
    assert tail.err.splitlines()[-1].endswith("standard output: No space left on device")
    wait_until(lambda: not nsqd.channel("orders", "c")["clients"], "it has left")
    assert nsqd.channel("orders", "c")["depth"] == 3


def test_an_ignored_hang_up_stays_ignored(nsqd, tool_process):
    nsqd.create("orders", "c")
    tail = tool_process("nsq_tail", "--topic=orders", "--channel=c",
                        f"--nsqd-tcp-address={nsqd.tcp}",
                        limits=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # fmt: skip
    consuming(nsqd, "orders", "c")
    tail.signal(signal.SIGHUP)
    nsqd.post("/pub?topic=orders", b"after")
    wait_until(lambda: tail.lines == [b"after"], "it goes on")
    assert tail.end() == 0
