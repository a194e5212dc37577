"""What the endpoints may use of the nsqd they speak for."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from nsqcore.classes import Factory, define, frozen
from nsqcore.http.guard import Guard
from nsqcore.operations.config import Config
from nsqd.client.session import Session
from nsqd.engine.broker import Broker
from nsqd.engine.topic import Topic
from nsqd.http.shared.cursors import SignedCursors
from nsqd.http.shared.memory import GcWatch
from nsqd.http.shared.slices import AtOnce
from nsqd.metadata.policy_store import PolicyStore
from nsqd.storage.durable.status import DurableStatus


@frozen(kw_only=True)
class HttpLimits:
    """What a publish over HTTP may be: sizes in bytes, the longest delay in ns."""

    max_msg_size: int
    max_body_size: int
    max_defer: int


@frozen(kw_only=True)
class Ports:
    """The ports listened on; -1 for a Unix socket or none."""

    tcp: int = -1
    http: int = -1
    https: int = -1


def _nothing() -> None:
    """Ticks come anyway."""


def _at_once(call: Callable[[], None]) -> None:
    call()


def _synced_at_once(done: Callable[[OSError | None], None]) -> None:
    """There is nothing to wait for."""
    done(None)


@define(eq=False, repr=False, kw_only=True)
class NsqdApi:
    """One nsqd, as its HTTP API sees it; its service makes it once all parts are there.

    Args:
        now: the monotonic clock, in ns, as the broker counts.
        started: when nsqd began, in wall-clock ns; ``began`` is the same by the clock ``now``.
        sessions: those of the V2 clients that are connected at the moment.
        info: what /info tells besides addresses and times.
        address: the broadcast address.
        data_path: the directory of the queues.
        guard: decides who is let in; None lets everybody do everything.
        min_free_bytes: publishes are refused where less is free there; 0 for no limit.
        persist: returns once it is on disk which topics and channels there are, and which of them
            are paused.
        has_channels: returns once a new topic has the channels that it has elsewhere.
        draining: whether publishes are refused.
        loop_lag: how many seconds the event loop is behind.
        when_kept: calls back once what was done to durable topics outlives a crash.
        when_synced: calls back once what durable topics accepted is on disk, or with why it is not.
        cursors: those of lists of messages.
        at_once: how much of long answers is made at once.
        request_tick: has a tick ended soon, though nothing comes in.
        durable: how the journal of durable topics is.
        durability_interval: within how many seconds ``interval`` syncs.
        checks: what keeps this nsqd from being ready, by name; empty where all is well.
    """

    broker: Broker
    limits: HttpLimits
    config: Config
    info: Mapping[str, Any]
    address: Callable[[], str]
    ports: Ports
    data_path: str
    now: Callable[[], int]
    started: int
    began: int
    sessions: Collection[Session]
    persist: Callable[[], Awaitable[None]]
    has_channels: Callable[[Topic], Awaitable[None]]
    draining: Callable[[], bool]
    loop_lag: Callable[[], float]
    checks: Callable[[], Mapping[str, str]]
    gc_watch: GcWatch
    policies: PolicyStore
    durable: Callable[[], DurableStatus]
    durability_interval: float
    min_free_bytes: int = 0
    guard: Guard | None = None
    when_kept: Callable[[Callable[[], None]], None] = _at_once
    request_tick: Callable[[], None] = _nothing
    when_synced: Callable[[Callable[[OSError | None], None]], None] = _synced_at_once
    cursors: SignedCursors = Factory(SignedCursors)
    at_once: AtOnce = Factory(lambda self: AtOnce(self.now), takes_self=True)

    @property
    def wall(self) -> int:
        """The wall clock, in ns."""
        return self.now() + self.broker.wall_offset

    @property
    def uptime(self) -> float:
        """Seconds since nsqd began, whatever the wall clock was set to since."""
        return (self.now() - self.began) / 1e9
