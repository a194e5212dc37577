"""to_nsq: its parts, and the process."""

import contextlib
import os
import pty
import subprocess
from collections.abc import Callable

import pytest
import trio
from tests.e2e.daemons import BIN, PATIENCE, Daemon, wait_until

from nsqtools.to_nsq.splitter import Splitter
from nsqtools.to_nsq.throttle import Throttle

INPUT = b"one\ntwo\n\nthree\n\n\nunterminated"
BODIES = [b"one", b"two", b"three", b"unterminated"]


@pytest.mark.parametrize("cut", range(len(INPUT) + 1))
def test_bodies_do_not_depend_on_where_reads_cut_the_input(cut):
    splitter = Splitter(b"\n")
    found = [body for part in (INPUT[:cut], INPUT[cut:]) if part for body in splitter.feed(part)]
    assert found + splitter.feed(b"") == BODIES


def test_bodies_do_not_depend_on_reads_of_a_byte():
    splitter = Splitter(b"\n")
    found = [body for byte in INPUT for body in splitter.feed(bytes([byte]))]
    assert found + splitter.feed(b"") == BODIES


async def test_a_throttle_allows_so_many_a_second(autojump_clock):
    throttle = Throttle(10)
    allowed = 0
    while trio.current_time() < 10:
        allowed += await throttle.allow(1000)
    assert allowed == pytest.approx(101, abs=1)


async def test_a_throttle_keeps_what_is_not_used_for_a_second(autojump_clock):
    throttle = Throttle(10)
    await throttle.allow(1)
    await trio.sleep(100)
    assert await throttle.allow(1000) == 10


async def test_without_a_rate_nothing_is_throttled():
    assert await Throttle(0).allow(1000) == 1000


@pytest.fixture
def messages(tool) -> Callable[[Daemon, str], list[bytes]]:
    """Gives what is in a topic's channel c, drained."""

    def drain(nsqd: Daemon, topic: str) -> list[bytes]:
        count = nsqd.channel(topic, "c")["depth"]
        if not count:
            return []
        flags = [f"--topic={topic}", "--channel=c", f"-n={count}"]
        tail = tool("nsq_tail", *flags, f"--nsqd-tcp-address={nsqd.tcp}")
        assert tail.wait() == 0
        return tail.out.split(b"\n")[:-1]

    return drain


@pytest.mark.slow
def test_lines_become_messages_and_the_last_one_is_whole(nsqd, tool, messages):
    nsqd.create("in", "c")
    given = tool("to_nsq", "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}", stdin=INPUT)
    assert given.wait() == 0
    assert sorted(messages(nsqd, "in")) == sorted(BODIES)
    assert (given.out, given.err) == (b"", "")


@pytest.mark.slow
def test_all_of_a_large_input_arrives(nsqd, tool, messages):
    nsqd.create("in", "c")
    lines = [b"%d %s" % (number, b"x" * (number % 500)) for number in range(20_000)]
    given = tool("to_nsq", "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}", stdin=b"\n".join(lines))
    assert given.wait() == 0
    assert sorted(messages(nsqd, "in")) == sorted(lines)


@pytest.mark.slow
def test_every_destination_gets_every_message(daemon, tool):
    nsqds = [daemon("nsqd"), daemon("nsqd")]
    for nsqd in nsqds:
        nsqd.create("in", "c")
    addresses = [f"--nsqd-tcp-address={nsqd.tcp}" for nsqd in nsqds]
    given = tool("to_nsq", "--topic=in", "--delimiter=,", *addresses, *addresses, stdin=b"a,b\nb,c")
    assert given.wait() == 0
    for nsqd in nsqds:
        assert nsqd.channel("in", "c")["message_count"] == 3


@pytest.mark.slow
def test_a_message_that_is_too_large_ends_it_after_those_before(daemon, tool, messages):
    nsqd = daemon("nsqd", "--max-msg-size=1000")
    nsqd.create("in", "c")
    lines = [b"%d" % number for number in range(10)] + [b"x" * 1001] + [b"after"]
    given = tool("to_nsq", "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}", stdin=b"\n".join(lines))
    assert given.wait() == 1
    assert "E_BAD_MESSAGE" in given.err
    assert "Traceback" not in given.err
    assert sorted(messages(nsqd, "in")) == sorted(lines[:10])


@pytest.mark.slow
def test_a_batch_that_is_too_large_goes_in_parts(daemon, tool, messages):
    nsqd = daemon("nsqd", "--max-body-size=5000", "--max-msg-size=2000")
    nsqd.create("in", "c")
    lines = [b"%d" % number + b"x" * 1000 for number in range(50)]
    given = tool("to_nsq", "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}", stdin=b"\n".join(lines))
    assert (given.wait(), given.err) == (0, "")
    assert sorted(messages(nsqd, "in")) == sorted(lines)


@pytest.mark.slow
def test_nobody_to_publish_to_is_an_error(tool):
    given = tool("to_nsq", "--topic=in", "--nsqd-tcp-address=127.0.0.1:1", stdin=b"one\n")
    assert given.wait() == 1
    assert "127.0.0.1:1" in given.err
    assert "Traceback" not in given.err


@pytest.mark.slow
def test_a_line_is_published_when_it_comes_and_a_signal_ends_it(nsqd, tool):
    nsqd.create("in", "c")
    reading, writing = os.pipe()
    given = tool("to_nsq", "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}", stdin=reading)
    os.close(reading)
    try:
        os.write(writing, b"one\ntwo\nthr")
        wait_until(lambda: nsqd.channel("in", "c")["depth"] == 2, "two are there")
        assert given.end() == 0
    finally:
        os.close(writing)
    assert nsqd.channel("in", "c")["depth"] == 2


@pytest.mark.slow
def test_a_restarted_nsqd_is_found_again(daemon, tool):
    nsqd = daemon("nsqd")
    nsqd.create("in", "c")
    reading, writing = os.pipe()
    given = tool("to_nsq", "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}", stdin=reading)
    os.close(reading)
    os.write(writing, b"one\n")
    wait_until(lambda: nsqd.channel("in", "c")["depth"] == 1, "it is there")
    nsqd.terminate()
    nsqd.start()
    os.write(writing, b"two\n")
    os.close(writing)
    assert given.wait() == 0
    assert nsqd.channel("in", "c")["depth"] == 2


@pytest.mark.slow
def test_a_terminal_sees_progress(nsqd, tmp_path):
    nsqd.create("in", "c")
    (tmp_path / "in").write_bytes(b"line\n" * 1000)
    ours, terminal = pty.openpty()
    with (tmp_path / "in").open("rb") as given:
        process = subprocess.Popen(
            [str(BIN / "to_nsq"), "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}"],
            stdin=given,
            stderr=terminal,
        )
    os.close(terminal)
    assert process.wait(PATIENCE) == 0
    shown = ""
    with contextlib.suppress(OSError):  # the end: nobody has the other side any more
        while True:  # a terminal passes on what it is given in pieces
            shown += os.read(ours, 4096).decode()
    os.close(ours)
    assert "1,000 messages" in shown
    assert "100 %" in shown


@pytest.mark.slow
def test_non_blocking_input_is_waited_for(nsqd, tool):
    nsqd.create("in", "c")
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    given = tool("to_nsq", "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}", stdin=reading)
    os.close(reading)
    for number in range(3):
        os.write(writing, b"%d\n" % number)
        wait_until(lambda: nsqd.channel("in", "c")["depth"] == number + 1, "it is there")  # noqa: B023
    os.close(writing)
    assert (given.wait(), given.err) == (0, "")


@pytest.mark.slow
def test_an_input_that_cannot_be_read_is_named(nsqd, tool, tool_process, tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    given = tool("to_nsq", "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}", stdin=folder)
    os.close(folder)
    assert given.wait() == 1
    assert given.err.endswith("standard input: Is a directory\n")
    closed = tool_process("to_nsq", "--topic=in", f"--nsqd-tcp-address={nsqd.tcp}",
                          limits=lambda: os.close(0))  # fmt: skip
    assert closed.wait() == 1
    assert closed.err.endswith("standard input: it is closed\n")
