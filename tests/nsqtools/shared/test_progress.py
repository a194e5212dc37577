"""The line that shows progress."""

import os
import pty

import trio
from trio.testing import MockClock

from nsqtools.shared.progress import Progress


def test_the_line_says_how_much_how_fast_and_how_far():
    progress = Progress(expected=2_000_000)
    progress.add(12_345, 1_500_000)
    assert progress.line(3, 4321) == "12,345 messages, 4,321/s, 1.5 MB, 75 %, 3 s"


def test_without_an_expected_size_there_is_no_part():
    progress = Progress()
    progress.add(1, 10)
    assert progress.line(0, 2) == "1 messages, 2/s, 10 B, 0 s"


async def test_progress_is_shown_on_a_terminal(autojump_clock: MockClock):
    ours, terminal = pty.openpty()
    progress = Progress()
    progress.add(100, 1000)
    try:
        with trio.move_on_after(1.2):
            await progress.show(terminal)
        shown = ""
        while not shown.endswith("\n"):  # a terminal passes on what it is given in pieces
            shown += os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(terminal)
    assert shown.count("100 messages") == 3
    assert shown.endswith("\n")


async def test_nothing_is_shown_where_nobody_looks(tmp_path):
    with (tmp_path / "err").open("wb") as file:
        await Progress().show(file.fileno())
    assert (tmp_path / "err").read_bytes() == b""


async def test_a_closed_error_stream_does_no_harm():
    progress = Progress()
    with trio.fail_after(60):  # it ends, and does not wait to be looked at
        await progress.show(999)
