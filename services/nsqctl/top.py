"""``nsqctl top``: the busiest channels of a cluster, live.

Every interval the cluster is asked once; rates are differences of counters. The
keys are read by a thread of their own, since a terminal cannot be awaited.
"""

import argparse
import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator

import trio
from attrs import Factory, define, frozen
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.stats import ChannelStats, TopicStats
from nsqcore.cluster.upstream import AllFailed, UpstreamError
from nsqctl import output
from nsqctl.listing import merged_topics

COLUMNS = (
    "topic", "channel", "depth", "on disk", "in flight", "deferred",
    "in/s", "done/s", "requeued/s", "timed out/s", "clients", "",
)  # fmt: skip

# How long the reader of keys may take to notice that it is over.
KEY_POLL = 0.2


@frozen
class Row:
    """One channel, or a topic without any, with its rates per second."""

    topic: str
    channel: str
    depth: int
    backend_depth: int
    in_flight: int
    deferred: int
    arriving: float
    done: float
    requeued: float
    timed_out: float
    clients: int
    paused: bool

    def shown(self) -> tuple[object, ...]:
        """The row of the table."""
        return (
            self.topic,
            self.channel,
            self.depth,
            self.backend_depth,
            self.in_flight,
            self.deferred,
            self.arriving,
            self.done,
            self.requeued,
            self.timed_out,
            self.clients,
            "paused" if self.paused else "",
        )


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


@define
class Screen:
    """What is shown, and how the keys have changed it."""

    sort: str = "d"
    rows: list[Row] = Factory(list)
    failures: tuple[UpstreamError, ...] = ()
    _before: dict[tuple[str, str], ChannelStats | TopicStats] = Factory(dict)

    def press(self, key: str) -> bool:
        """Act on a key; False if it was the one that quits."""
        if key in SORTS or key == NAME_KEY:
            self.sort = key
        return key not in ("q", "\x03", "\x1b")

    def update(self, topics: list[TopicStats], seconds: float) -> None:
        """Take in what the cluster says, ``seconds`` after the last time (0: the first)."""
        seen: dict[tuple[str, str], ChannelStats | TopicStats] = {}
        self.rows = []
        for topic in topics:
            parts: list[ChannelStats | TopicStats] = [*topic.channels] or [topic]
            for stats in parts:
                name = stats.channel_name if isinstance(stats, ChannelStats) else ""
                key = (topic.topic_name, name)
                seen[key] = stats
                self.rows.append(
                    _row(topic.topic_name, name, stats, self._before.get(key), seconds)
                )
        self._before = seen

    def render(self, height: int) -> Group:
        """The screen, for a terminal of ``height`` lines."""
        rows = sorted(self.rows, key=lambda row: (row.topic, row.channel))
        by = "name"
        if self.sort != NAME_KEY:
            by, key = SORTS[self.sort]
            rows.sort(key=key, reverse=True)
        room = max(height - 5 - len(self.failures), 1)
        total = (
            f"{len(rows)} channels   depth {sum(r.depth for r in rows):,}"
            f"   in {sum(r.arriving for r in rows):,.0f}/s"
            f"   done {sum(r.done for r in rows):,.0f}/s"
        )
        keys = "   ".join(f"{key} {name}" for key, (name, _) in SORTS.items())
        failures = [Text(f"! {failure}", style="red") for failure in self.failures]
        return Group(
            Text(f"{total}   sorted by {by}", style="bold"),
            *failures,
            output.table("", COLUMNS, (row.shown() for row in rows[:room]), texts=2),
            Text(f"{keys}   n name   q quit", style="dim"),
        )


def _row(
    topic: str,
    channel: str,
    stats: ChannelStats | TopicStats,
    before: ChannelStats | TopicStats | None,
    seconds: float,
) -> Row:
    def rate(key: str) -> float:
        if before is None or seconds <= 0:
            return 0.0
        # a daemon that was restarted counts from 0 again
        return float(max(_count(stats, key) - _count(before, key), 0)) / seconds

    waiting = ("depth", "in_flight_count", "deferred_count")
    growth = 0.0
    if before is not None and seconds > 0:
        growth = sum(_count(stats, key) - _count(before, key) for key in waiting) / seconds
    arriving = rate("message_count")
    return Row(
        topic,
        channel,
        stats.depth,
        stats.backend_depth,
        _count(stats, "in_flight_count"),
        _count(stats, "deferred_count"),
        arriving,
        max(arriving - growth, 0.0) if channel else 0.0,
        rate("requeue_count"),
        rate("timeout_count"),
        _count(stats, "client_count"),
        stats.paused,
    )


def _count(stats: ChannelStats | TopicStats, key: str) -> int:
    return int(getattr(stats, key, 0))


async def top(cluster: Cluster, given: argparse.Namespace) -> int:
    """Show the channels until q, Ctrl-C, or ``given.count`` times."""
    console = output.console()
    screen = Screen(sort=given.sort)
    interactive = sys.stdin.isatty() and console.is_terminal
    with (
        _raw_terminal() if interactive else contextlib.nullcontext(),
        Live(console=console, screen=interactive, auto_refresh=False) as live,
    ):
        async with trio.open_nursery() as nursery:
            if interactive:
                nursery.start_soon(_read_keys, screen, live, console, nursery.cancel_scope)
            await _refresh(cluster, given, screen, live, console)
            nursery.cancel_scope.cancel()
    return 0


async def _refresh(
    cluster: Cluster, given: argparse.Namespace, screen: Screen, live: Live, console: Console
) -> None:
    last: float | None = None
    shown = 0
    while given.count == 0 or shown < given.count:
        began = trio.current_time()
        try:
            answer = await merged_topics(cluster)
        except AllFailed as error:
            screen.failures = error.failures
        else:
            screen.failures = answer.failures
            screen.update(answer.value, 0 if last is None else began - last)
            last = began
        live.update(screen.render(console.height), refresh=True)
        shown += 1
        if shown != given.count:
            await trio.sleep_until(began + given.interval)


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Keys come one by one, unechoed; the terminal is put right afterwards."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _read_keys(screen: Screen, live: Live, console: Console, scope: trio.CancelScope) -> None:
    while True:
        key = await trio.to_thread.run_sync(_next_key, abandon_on_cancel=True)
        if key is None:
            await trio.lowlevel.checkpoint()
        elif not screen.press(key):
            scope.cancel()
            return
        else:
            live.update(screen.render(console.height), refresh=True)


def _next_key() -> str | None:
    """The next key, or None if there was none for a moment."""
    readable, _, _ = select.select([sys.stdin], [], [], KEY_POLL)
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if readable else None
