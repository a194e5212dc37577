"""One nsqd of a producer: its connection, kept up in the background, and what it is good for."""

import logging
from collections.abc import Callable, Mapping
from enum import Enum

import anyio

from nsqclient.connection.connection import Connection, Reply, connect
from nsqclient.core.errors import ClientError, ConnectionLost, ProtocolError, without_traceback
from nsqclient.core.log import RateLimited
from nsqclient.core.options import ConnectionOptions, in_seconds
from nsqclient.core.reconnect import GOOD_LIFE, ReconnectDelay
from nsqclient.messages.hooks import Hooks
from nsqcore.classes import Factory, define, field

log = logging.getLogger("nsqclient")

# nsqd is draining, or its disk is full: it takes no message now, another nsqd may (TCP protocol
# spec, PUB, MPUB, DPUB).
UNABLE = frozenset({"E_PUB_FAILED", "E_MPUB_FAILED", "E_DPUB_FAILED"})


# Larger commands than this go alone until nsqd has shown that it takes them: it refuses what is
# over its limit (--max-msg-size, 1 MiB by default) by closing the connection, and a reset takes
# away answers to others that are still on their way.
LARGE = 1024 * 1024


# The rank of an nsqd that discovery names no longer, and what is added for one that could not take
# messages a moment ago.
GONE = 3
UNABLE_RANK = 4


class EndpointState(Enum):
    """What a publish may hope for from an nsqd."""

    CONNECTING = "an attempt to connect is under way"
    UP = "connected"
    DOWN = "the last attempt failed; the next one comes later, or when a publish asks for it"


@define(eq=False, repr=False)
class Endpoint:
    """One nsqd of a producer; `run` keeps a connection to it while there can be one.

    ``unable_until`` is when an nsqd that could not take a message is asked again
    before others are; a connection alone does not show that it can. ``rank`` says how
    gladly it is used, lowest first: it is in our zone, our region, elsewhere, or gone
    from discovery. ``lost`` is called when a connection ended or could not be made.
    """

    address: str
    options: ConnectionOptions
    hooks: Hooks
    changed: Callable[[], None]
    state: EndpointState = EndpointState.CONNECTING
    connection: Connection | None = None
    error: ClientError | None = None
    unable_until: float = 0.0
    rank: int = 0
    lost: Callable[[], None] | None = None
    _is_wanted: bool = True
    _taken: int = LARGE
    _alone: Reply | None = None
    _reserved: bool = False
    _unable: ReconnectDelay = field(init=False)
    _retry: ReconnectDelay = field(init=False)
    _wanted: anyio.Event = Factory(anyio.Event)
    _trouble: RateLimited = Factory(lambda: RateLimited("producer: %s; trying again in %.1f s"))

    def __attrs_post_init__(self) -> None:
        longest = in_seconds(self.options.max_reconnect_delay)
        self._unable = ReconnectDelay(longest, first=1.0)
        self._retry = ReconnectDelay(longest)

    @property
    def usable(self) -> Connection | None:
        """The connection, if it is alive."""
        connection = self.connection
        return None if connection is None or connection.error is not None else connection

    @property
    def is_reserved(self) -> bool:
        """Whether a large message has the connection for itself."""
        return self._reserved or (self._alone is not None and not self._alone.done.is_set())

    async def ask(self, connection: Connection, command: bytes) -> Reply:
        """Send ``command`` by ``connection``; returns when the answer is there.

        A large one waits until all before it have theirs, and keeps others away until its own.
        """
        size = len(command)
        if size <= self._taken:
            reply = connection.request(command)
            del command  # this frame waits longer than the command does
            await reply.done.wait()
            return reply
        self._reserved = True
        try:
            await connection.answered()
            reply = self._alone = connection.request(command)
            del command
            reply.then = self.changed
        finally:
            self._reserved = False
            self.changed()
        await reply.done.wait()
        if reply.error is None:
            self._taken = max(self._taken, size)
        return reply

    def connect_now(self) -> None:
        """Try to connect without waiting any longer; a publish has nowhere else to go."""
        if self.state is EndpointState.DOWN:
            self._set(EndpointState.CONNECTING)
            self._wanted.set()

    def want(self, wanted: bool) -> None:
        """Note whether it is to be dialled again, and to be used before others are."""
        if wanted != self._is_wanted:
            self._is_wanted = wanted
            self._rank()
            self._wanted.set()

    def accepted(self) -> None:
        """Note that it took a message."""
        if self.unable_until:
            self.unable_until = 0.0
            self._unable.succeeded()

    def refused(self, now: float) -> None:
        """Note that it could not take a message."""
        if now >= self.unable_until:
            self.unable_until = now + self._unable.delay()

    async def run(self) -> None:
        """Keep a connection; returns when it has none and is not wanted."""
        while self._is_wanted:
            self._wanted = anyio.Event()
            self._set(EndpointState.CONNECTING)
            try:
                connection = await connect(self.address, self.options)
            except ClientError as error:
                self._lost(without_traceback(error), EndpointState.DOWN)
            else:
                if await self._use(connection):
                    continue  # a message was refused, which is no outage: connect again at once
            delay = self._retry.delay()
            self._trouble.warning(self.error, delay)
            with anyio.move_on_after(delay):
                await self._wanted.wait()

    async def _use(self, connection: Connection) -> bool:
        """Offer a connection until it ends; returns whether it ended by a refused message."""
        self.connection = connection
        self._rank()
        connection.on_room = self.changed
        began = connection.loop.now()
        self._set(EndpointState.UP)
        log.info("producer: connected to nsqd %s", self.address)
        self.hooks.call("connected", self.address)
        try:
            await connection.run()
        finally:
            self.connection = None
        # nsqd may only have been restarted: publishes wait for the next attempt, which comes
        # after a moment. Not with one that hangs up again and again.
        good = connection.loop.now() - began >= GOOD_LIFE
        if good:
            self._retry.succeeded()
        refused = connection.refused_command
        hopeful = good or refused or not self._retry.failures
        state = EndpointState.CONNECTING if hopeful else EndpointState.DOWN
        self._lost(connection.error or _closed(self.address), state)
        return refused

    def _lost(self, error: ClientError, state: EndpointState) -> None:
        self.error = error
        self._set(state)
        self.hooks.call("disconnected", self.address, error)
        if self.lost is not None:
            self.lost()

    def _rank(self) -> None:
        if not self._is_wanted:
            self.rank = GONE
        elif self.connection is not None:
            self.rank = distance(self.options, self.connection.negotiated.fields)

    def _set(self, state: EndpointState) -> None:
        self.state = state
        self.changed()


def distance(options: ConnectionOptions, nsqd: Mapping[str, object]) -> int:
    """0 for an nsqd in our zone, 1 in our region, 2 elsewhere; 0 for all if we name neither.

    ``nsqd`` is its answer to IDENTIFY.
    """
    region, zone = options.topology_region, options.topology_zone
    same_region = nsqd.get("topology_region", "") == region
    if not (region or zone) or (zone and same_region and nsqd.get("topology_zone") == zone):
        return 0
    return 1 if region and same_region else 2


def _closed(address: str) -> ConnectionLost:
    return ConnectionLost(f"nsqd {address}: closed")


def is_unable(error: ProtocolError | ConnectionLost) -> bool:
    """Whether ``error`` says that this nsqd cannot take messages now, where another may."""
    return isinstance(error, ProtocolError) and error.code in UNABLE
