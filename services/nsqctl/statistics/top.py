"""``nsqctl top``: the busiest channels of a cluster, live.

Every interval the cluster is asked once, and the screen drawn; also when a key says how, or
the terminal has changed its size. Without a terminal each picture is printed once, in full.
"""

import argparse
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nsqcore.classes import Factory, define, field
from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.stats import TopicStats
from nsqcore.cluster.upstream import AllFailed, UpstreamError
from nsqctl.shared import output
from nsqctl.shared.stop_signals import stop_signals
from nsqctl.statistics.listing import merged_topics
from nsqctl.statistics.rates import Row, RowMeter

# Title, and the field of a row; those that a narrow terminal has no room for come last.
COLUMNS: tuple[tuple[str, Callable[[Row], object]], ...] = (
    ("topic", lambda row: row.topic),
    ("channel", lambda row: row.channel),
    ("depth", lambda row: row.depth),
    ("in flight", lambda row: row.in_flight),
    ("in/s", lambda row: row.arriving),
    ("done/s", lambda row: row.done),
    ("clients", lambda row: row.clients),
    ("", lambda row: "paused" if row.paused else ""),
    ("on disk", lambda row: row.backend_depth),
    ("deferred", lambda row: row.deferred),
    ("requeued/s", lambda row: row.requeued),
    ("timed out/s", lambda row: row.timed_out),
)
NARROW, NARROW_COLUMNS = 120, 8

# Names have this much room, before a column goes in favour of them: enough to tell them apart.
NAMES, NAME_ROOM = 2, 14

# The lines that are no channels: totals, two of the table, keys, and one for the cursor.
FRAME = 5

# More daemons that fail at a time would push the channels off the screen.
MAX_FAILURES = 5

# Key, what it sorts by, and the column it says so of.
SORTS: dict[str, tuple[str, Callable[[Row], float]]] = {
    "d": ("depth", lambda row: row.depth),
    "r": ("in/s", lambda row: row.arriving),
    "o": ("done/s", lambda row: row.done),
    "i": ("in flight", lambda row: row.in_flight),
    "c": ("clients", lambda row: row.clients),
    "t": ("timed out/s", lambda row: row.timed_out),
}
NAME_KEY = "n"

# Q, and what Ctrl-D sends to a program that reads keys.
QUIT_KEYS = "qQ\x04"


@define
class Screen:
    """What is shown, and how the keys have changed it."""

    sort: str = "d"
    rows: list[Row] = Factory(list)
    failures: tuple[UpstreamError, ...] = ()
    _meter: RowMeter = Factory(RowMeter)

    def press(self, keys: str) -> bool:
        """Act on keys pressed; False if one of them was to quit."""
        if keys.startswith("\x1b"):  # an arrow, a function key: none of ours
            return True
        for key in keys:
            if key in QUIT_KEYS:
                return False
            if key in SORTS or key == NAME_KEY:
                self.sort = key
        return True

    def update(self, topics: list[TopicStats], seconds: float) -> None:
        """Take in what the cluster says, ``seconds`` after the last time (0: the first)."""
        self.rows = self._meter.rows(topics, seconds)

    def render(self, width: int, height: int | None) -> Group:
        """The screen, for a terminal of ``width`` and ``height``; printed where that is None."""
        rows = sorted(self.rows, key=lambda row: (row.topic, row.channel))
        by = "name"
        if self.sort != NAME_KEY:
            by, key = SORTS[self.sort]
            rows.sort(key=key, reverse=True)
        total = (
            f"{len(rows)} channels  depth {sum(r.depth for r in rows):,}"
            f"  in {sum(r.arriving for r in rows):,.0f}/s"
            f"  done {sum(r.done for r in rows):,.0f}/s  sorted by {by}"
        )
        failures = [_line(f"! {failure}", "red") for failure in self.failures[:MAX_FAILURES]]
        if len(self.failures) > MAX_FAILURES:
            failures.append(_line(f"! and {len(self.failures) - MAX_FAILURES} more", "red"))
        if height is not None:
            rows = rows[: max(height - FRAME - len(failures), 1)]
        lines: list[RenderableType] = [_line(total, "bold"), *failures, _table(rows, width)]
        if height is not None:
            keys = "  ".join(f"{key} {name}" for key, (name, _) in SORTS.items())
            lines.append(_line(f"{keys}  n name  q quit", "dim"))
        return Group(*lines)


def _line(text: str, style: str) -> Text:
    return Text(output.printable(text), style=style, no_wrap=True, overflow="ellipsis")


def _table(rows: list[Row], width: int) -> Table:
    columns = COLUMNS if width >= NARROW else COLUMNS[:NARROW_COLUMNS]
    values = [[value(row) for _, value in columns] for row in rows]
    count = _fitting([[title for title, _ in columns], *values], width)
    titles = [title for title, _ in columns[:count]]
    return output.table("", titles, (row[:count] for row in values), texts=NAMES)


def _fitting(lines: list[list[object]], width: int) -> int:
    """How many columns fit; the names and one more always stay."""
    room = width
    for position, column in enumerate(zip(*lines, strict=True)):
        widest = max(len(output.shown(value)) for value in column)
        room -= (min(widest, NAME_ROOM) if position < NAMES else widest) + 2
        if room < 0 and position > NAMES:
            return position
    return len(lines[0])


async def top(cluster: Cluster, given: argparse.Namespace) -> int:
    """Show the channels until q, Ctrl-C, or ``given.count`` times."""
    console = output.console()
    screen = Screen(sort=given.sort)
    interactive = sys.stdin.isatty() and console.is_terminal
    picture = Drawn(screen, console) if interactive else Printed(screen, console)
    handled = stop_signals()
    if interactive:
        handled += [signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT]
    with trio.open_signal_receiver(*handled) as signals, picture:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_handle_signals, signals, picture, nursery.cancel_scope)
            if interactive:
                nursery.start_soon(_read_keys, screen, picture, nursery.cancel_scope)
            await _refresh(cluster, given, screen, picture)
            nursery.cancel_scope.cancel()
    return 0


@define
class Printed(contextlib.AbstractContextManager["Printed"]):
    """The screen printed, once more each time."""

    screen: Screen
    console: Console

    def draw(self) -> None:
        """Print it."""
        self.console.print(self.screen.render(self.console.width, None))

    def __exit__(self, *error: object) -> None:
        pass


@define
class Drawn(contextlib.AbstractContextManager["Drawn"]):
    """The whole terminal, which gives keys one by one; both are put right afterwards."""

    screen: Screen
    console: Console
    _live: Live = field(init=False)
    _modes: list[Any] = field(init=False)

    def __enter__(self) -> "Drawn":
        self._modes = termios.tcgetattr(sys.stdin)
        _take_keys()
        self._live = Live(console=self.console, screen=True, auto_refresh=False)
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._modes)

    def draw(self) -> None:
        """Draw it."""
        content = self.screen.render(self.console.width, self.console.height)
        self._live.update(content, refresh=True)

    def pause(self) -> None:
        """Leave the terminal to the shell that Ctrl-Z asked for, until continued."""
        self.__exit__()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # without a shell to return to, this does nothing
        signal.signal(signal.SIGTSTP, handler)
        self.__enter__()

    def resume(self) -> None:
        """Take keys one by one again: whoever stopped us may have changed that."""
        _take_keys()


def _take_keys() -> None:
    tty.setcbreak(sys.stdin, termios.TCSADRAIN)  # what has been typed already counts


Picture = Printed | Drawn


def _in_order(failures: Sequence[UpstreamError]) -> tuple[UpstreamError, ...]:
    return tuple(sorted(failures, key=str))


async def _refresh(
    cluster: Cluster, given: argparse.Namespace, screen: Screen, picture: Picture
) -> None:
    last: float | None = None
    shown = 0
    while given.count is None or shown < given.count:
        began = trio.current_time()
        try:
            answer = await merged_topics(cluster)
        except AllFailed as error:
            screen.failures = _in_order(error.failures)
        else:
            screen.failures = _in_order(answer.failures)
            screen.update(answer.value, 0 if last is None else began - last)
            last = began
        picture.draw()
        shown += 1
        if shown != given.count:
            await trio.sleep_until(began + given.interval)


async def _handle_signals(
    signals: AsyncIterator[int], picture: Picture, scope: trio.CancelScope
) -> None:
    async for number in signals:
        if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            scope.cancel()
            return
        assert isinstance(picture, Drawn)
        if number == signal.SIGTSTP:
            picture.pause()
        elif number == signal.SIGCONT:
            picture.resume()
        picture.draw()


async def _read_keys(screen: Screen, picture: Picture, scope: trio.CancelScope) -> None:
    while True:
        await trio.lowlevel.wait_readable(sys.stdin)
        try:
            keys = os.read(sys.stdin.fileno(), 64).decode(errors="replace")
        except OSError:
            keys = ""
        if not keys or not screen.press(keys):  # none: the terminal is gone
            scope.cancel()
            return
        picture.draw()
