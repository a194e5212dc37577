"""`nsqctl top`: its keys and its picture, and the whole in a real terminal."""

import io
import os
import shlex
import signal
import subprocess
from collections.abc import Callable

import pytest
from rich.console import Console
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.nsqctl.program import NSQCTL, Pair, Terminal, can_read, nsqctl

from nsqcore.cluster.stats import ChannelStats, TopicStats
from nsqcore.cluster.upstream import UpstreamError
from nsqctl.statistics.top import Drawn, Screen


def filled(count: int = 3, **known: object) -> Screen:
    """A screen with channels c0, c1, …, of rising depth and falling number of clients."""
    channels = [
        ChannelStats(
            node="a", topic_name="t", channel_name=f"c{n}", depth=n * 10, client_count=count - n
        )
        for n in range(count)
    ]
    screen = Screen(**known)  # type: ignore[arg-type]
    screen.update([TopicStats(node="a", topic_name="t", channels=channels)], 0)
    return screen


def lines(screen: Screen, width: int = 120, height: int | None = 24) -> list[str]:
    console = Console(width=width, height=height)
    with console.capture() as captured:
        console.print(screen.render(width, height))
    return captured.get().splitlines()


def names(screen: Screen) -> list[str]:
    return [line.split()[1] for line in lines(screen)[2:-1]]


def test_keys_sort_and_the_heading_says_by_what():
    screen = filled()
    assert names(screen) == ["c2", "c1", "c0"]
    assert screen.press("c")
    assert names(screen) == ["c0", "c1", "c2"]
    assert "sorted by clients" in lines(screen)[0]
    assert screen.press("n")
    assert names(screen) == ["c0", "c1", "c2"]
    assert "sorted by name" in lines(screen)[0]


@pytest.mark.parametrize("keys", ["q", "Q", "\x04", "dq"])
def test_keys_that_quit(keys: str):
    assert not filled().press(keys)


@pytest.mark.parametrize("keys", ["x", "\x1b", "\x1b[A", "\x1bOq", "\n", "é"])
def test_other_keys_and_arrows_do_nothing(keys: str):
    screen = filled(sort="i")
    assert screen.press(keys)
    assert screen.sort == "i"


@pytest.mark.slow
def test_the_picture_fits_the_terminal():
    for height in (6, 8, 24, 100):
        for width in (20, 40, 80, 200):
            shown = lines(filled(50), width, height)
            assert len(shown) < height
            assert all(len(line) <= width for line in shown)


@pytest.mark.slow
def test_on_paper_every_channel_is_printed_without_keys():
    shown = lines(filled(50), 400, None)
    assert len(shown) == 52
    assert "q quit" not in shown[-1]


def test_a_narrow_terminal_has_the_columns_that_matter_most():
    wide, narrow = lines(filled(), 120)[1], lines(filled(), 80)[1]
    assert "timed out/s" in wide
    assert "timed out/s" not in narrow
    assert " ".join(narrow.split()) == "topic channel depth in flight in/s done/s clients"


def test_the_narrower_the_terminal_the_fewer_columns_but_names_stay():
    screen = Screen()
    channel = ChannelStats(
        node="a", topic_name="orders.of.the.whole.company", channel_name="kitchen", depth=5613
    )
    screen.update([TopicStats(node="a", topic_name=channel.topic_name, channels=[channel])], 0)
    heading, row = lines(screen, 56)[1:3]
    assert heading.split() == ["topic", "channel", "depth", "in", "flight", "in/s"]
    assert row.split()[1:3] == ["kitchen", "5,613"]
    heading, row = lines(screen, 34)[1:3]
    assert heading.split() == ["topic", "channel", "depth"]
    assert row.startswith(" orders.of")


def test_who_does_not_answer_is_named_and_many_do_not_fill_the_screen():
    screen = filled()
    screen.failures = tuple(UpstreamError("a", f"GET http://a{n}: refused") for n in range(40))
    shown = lines(screen)
    assert shown[1] == "! GET http://a0: refused"
    assert "! and 35 more" in shown
    assert any("c2" in line for line in shown)


# ------------------------------------------------------------------ in a terminal


@pytest.mark.slow
def test_in_a_terminal_it_follows_the_cluster_keys_and_size_and_leaves_no_trace(
    pair: Pair, terminal: Callable[..., Terminal]
):
    screen = terminal("top", *pair.nsqd_options, "--interval=0.2")
    before = screen.modes()
    screen.wait_for("kitchen")
    pair.nsqds[0].post("/pub?topic=orders", b"one more")
    screen.wait_for("depth 6")
    screen.press(b"c")
    screen.wait_for("sorted by clients")
    screen.press(b"\x1b[A")
    pair.nsqds[1].kill()
    screen.wait_for("connection refused")
    pair.nsqds[1].start()
    screen.press(b"q")
    assert screen.wait() == 0
    assert screen.modes() == before
    assert b"\x1b[?1049h" in screen.shown  # the terminal's other screen,
    assert b"\x1b[?1049l" in screen.shown  # left again
    assert b"\x1b[?25h" in screen.shown  # the cursor


@pytest.mark.slow
def test_a_terminal_that_changes_its_size_is_drawn_anew_at_once(
    steady: Pair, terminal: Callable[..., Terminal]
):
    screen = terminal("top", steady.option, "--interval=1000", rows=24, columns=120)
    assert screen.wait_for("q quit").count("timed out/s") == 2  # a column, and a key
    screen.resize(10, 90)
    assert screen.wait_for("q quit").count("timed out/s") == 1
    screen.press(b"q")
    assert screen.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_terminal_is_as_before(
    steady: Pair, terminal: Callable[..., Terminal], number: signal.Signals
):
    screen = terminal("top", steady.option)
    before = screen.modes()
    screen.wait_for("kitchen")
    wait_until(lambda: screen.modes() != before, "it reads keys one by one")
    screen.process.send_signal(number)
    assert screen.wait() == 0
    assert screen.modes() == before
    assert b"\x1b[?1049l" in screen.shown
    assert b"Traceback" not in screen.shown


@pytest.mark.slow
def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_back(steady: Pair):
    command = f"{shlex.quote(NSQCTL)} top {steady.option} --interval=1000"
    shell = Terminal(["sh", "-c", f"set -m; {command}; stty sane; echo shell; fg >/dev/null"])
    try:
        shell.start().wait_for("q quit")
        shell.press(b"\x1a")
        shell.wait_for("shell")
        assert b"\x1b[?1049l" in shell.shown.partition(b"shell")[0]  # it has its screen
        wait_until(lambda: shell.picture_count() == 2, "the picture is back")
        shell.press(b"n")
        shell.wait_for("sorted by name")
        shell.press(b"q")
        assert shell.wait() == 0
    finally:
        shell.clean_up()


def test_what_is_typed_before_it_takes_keys_again_counts(monkeypatch: pytest.MonkeyPatch):
    keyboard, terminal = os.openpty()
    with open(keyboard, "wb", buffering=0) as typed, open(terminal) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with Drawn(filled(), Console(file=io.StringIO())) as picture:
            typed.write(b"n")
            assert can_read(stdin.fileno(), PATIENCE)
            picture.resume()
            assert can_read(stdin.fileno(), 0)
            assert os.read(stdin.fileno(), 64) == b"n"


@pytest.mark.slow
def test_ctrl_z_without_a_shell_to_return_to_does_nothing(
    steady: Pair, terminal: Callable[..., Terminal]
):
    screen = terminal("top", steady.option, "--interval=1000")
    screen.wait_for("q quit")
    screen.press(b"\x1a")
    screen.wait_for("q quit")
    screen.press(b"q")
    assert screen.wait() == 0


@pytest.mark.slow
def test_without_a_terminal_it_prints_as_often_as_told(steady: Pair):
    out = nsqctl("top", steady.option, "--count=3", "--interval=0.1")[0]
    assert out.count("1 channels  depth 5") == 3
    assert "\x1b" not in out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_was_ignored_stays_ignored(steady: Pair, number: signal.Signals):
    """As under nohup, and in the background of a script."""
    process = subprocess.Popen(
        [NSQCTL, "top", steady.option, "--interval=0.1"],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),
    )
    assert process.stdout is not None
    with process:
        try:
            process.stdout.readline()
            process.send_signal(number)
            for _ in range(20):
                assert process.stdout.readline()
            process.terminate()
            process.stdout.read()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


@pytest.mark.slow
def test_it_waits_for_a_cluster_that_is_not_there_yet(
    daemon: Callable[..., Daemon], terminal: Callable[..., Terminal]
):
    lookupd = daemon("nsqlookupd")
    lookupd.terminate()
    screen = terminal("top", f"--lookupd-http-address={lookupd.http}", "--interval=0.2")
    screen.wait_for("connection refused")
    lookupd.start()
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    nsqd.create("late", "comer")
    screen.wait_for("comer")
    screen.press(b"q")
    assert screen.wait() == 0
