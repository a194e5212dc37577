"""What the endpoints may use of the nsqd they speak for."""

from collections.abc import Awaitable, Callable, Collection, Mapping

import trio
from attrs import Factory, define

from nsqd.client.session import Session
from nsqd.engine.broker import Broker
from nsqd.http.memory import GcWatch
from nsqd.options import NsqdOptions


def _ignore(_options: NsqdOptions) -> None:
    """Of a daemon that takes no settings while it runs."""


@define(eq=False, kw_only=True)
class NsqdApi:
    """One nsqd, as its HTTP API sees it; its service makes it, and keeps it true.

    Args:
        now: the monotonic clock, in ns, as the broker counts.
        sessions: those of the V2 clients that are connected at the moment.
        started: when nsqd began, in wall-clock ns.
        tcp_port, http_port, https_port: those listened on; -1 for a Unix socket or none.
        reconfigure: acts on options that a request has changed; ``options`` is new already.
        persist: returns once it is on disk which topics and channels there are, and which of them
            are paused.
        drain: begins to drain: `draining` is true from then on.
        loop_lag: how many seconds the event loop is behind.
        checks: what else has to be well for this nsqd to be ready, by name; a function tells
            what is wrong, or returns the empty text.
    """

    broker: Broker
    options: NsqdOptions
    now: Callable[[], int]
    sessions: Collection[Session] = ()
    started: int = 0
    tcp_port: int = -1
    http_port: int = -1
    https_port: int = -1
    reconfigure: Callable[[NsqdOptions], None] = _ignore
    persist: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
    draining: Callable[[], bool] = lambda: False
    drain: Callable[[], None] = lambda: None
    loop_lag: Callable[[], float] = lambda: 0.0
    checks: Mapping[str, Callable[[], str]] = Factory(dict)
    gc_watch: GcWatch = Factory(GcWatch)

    @property
    def wall(self) -> int:
        """The wall clock, in ns."""
        return self.now() + self.broker.wall_offset
