"""A consumer's connections: one for each source, kept up as long as it is wanted.

A source given by the user is wanted for ever; one found by nsqlookupd as long as
some nsqlookupd names it. A connection that works is never cut because a name
went missing: it ends when nsqd ends it, and is then not made again.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable

import anyio

from nsqclient.connection.connection import Connection, Reply, connect
from nsqclient.consuming.discovery import Source
from nsqclient.consuming.flow_control import FlowControl
from nsqclient.consuming.rdy import ConnectionRdy
from nsqclient.consuming.subscription import Subscription
from nsqclient.core.background import Background
from nsqclient.core.errors import ClientError, ProtocolError, without_traceback
from nsqclient.core.options import ConnectionOptions, in_seconds
from nsqclient.core.reconnect import GOOD_LIFE, ReconnectDelay
from nsqcore.classes import Factory, define
from nsqcore.wire import client_commands as commands

log = logging.getLogger("nsqclient")

# Between the first attempts for two sources: thousands at once would stop the loop. Seconds.
DIAL_INTERVAL = 0.001

# Errors of nsqd that may be over by themselves: too many consumers.
PASSING = frozenset({"E_SUB_FAILED"})


@define(eq=False, repr=False)
class ConnectionManager:
    """Keeps a connection to every source that is wanted. ``fixed`` ones always are.

    ``is_named`` tells of a source that was found whether it is to be dialled again,
    ``subscribed`` is told of topics when a subscription has been made.
    """

    channel: str
    control: FlowControl
    options: ConnectionOptions
    tasks: Background
    fixed: frozenset[Source] = frozenset()
    is_named: Callable[[Source], Awaitable[bool]] | None = None
    subscribed: Callable[[str], Awaitable[None]] | None = None
    _wanted: set[Source] = Factory(set)
    _kept: set[Source] = Factory(set)
    _refused: dict[Source, Exception] = Factory(dict)
    _ever_connected: bool = False
    _next_dial: float = 0.0
    _warned: bool = False

    def want(self, found: Iterable[Source]) -> None:
        """Note which sources are wanted now, besides the fixed ones."""
        self._wanted = {*self.fixed, *found}
        for source in sorted(self._wanted - self._kept, key=lambda s: (s.topic, s.address)):
            self._kept.add(source)
            self.control.distribution.connecting += 1
            self.tasks.start(self._keep, source)
        self._warn_of_turns()

    def _warn_of_turns(self) -> None:
        count, limit = len(self._wanted), self.control.distribution.max_in_flight
        if count > limit > 0 and not self._warned:
            log.warning(
                "consumer(%s): max_in_flight %d is less than %d connections: they take turns, and "
                "messages wait for theirs",
                self.control.name,
                limit,
                count,
            )
        self._warned = count > limit

    async def _keep(self, source: Source) -> None:
        retry = ReconnectDelay(in_seconds(self.options.max_reconnect_delay))
        expected = True
        try:
            await self._pace()
            while source in self._wanted and not self.control.stopping:
                error: Exception
                connected: float | None = None
                try:
                    connection = await connect(source.address, self.options)
                except ClientError as refused:
                    error = without_traceback(refused)
                    if expected:
                        expected = False
                        self._unexpect()
                else:
                    connected = self.control.now()
                    if expected:
                        expected = False
                        self.control.distribution.connecting -= 1
                    error = await self._serve(source, connection)
                if connected is not None and self.control.now() - connected >= GOOD_LIFE:
                    retry.succeeded()
                self._note_refusal(source, error)
                await self._wait(error, source, retry)
                if not await self._is_still_named(source):
                    break
        finally:
            self._kept.discard(source)
            self.control.connection_errors.pop(source.address, None)
            self._refused.pop(source, None)
            if expected:
                self._unexpect()

    async def _pace(self) -> None:
        now = self.control.now()
        delay = max(0.0, self._next_dial - now)
        self._next_dial = max(now, self._next_dial) + DIAL_INTERVAL
        await anyio.sleep(delay)

    async def _is_still_named(self, source: Source) -> bool:
        if source in self.fixed or self.is_named is None or self.control.stopping:
            return True
        if source not in self._wanted:
            return False
        if await self.is_named(source):
            return True
        log.info(
            "consumer(%s): nsqd %s no longer has %s",
            self.control.name,
            *_words(source, self.channel),
        )
        return False

    def _unexpect(self) -> None:
        """Nobody comes for the room that was kept: the others may have it."""
        self.control.distribution.connecting -= 1
        self.control.plan()

    def _note_refusal(self, source: Source, error: Exception) -> None:
        """Fail if no nsqd will ever take us: nothing was wrong with the network."""
        if not _is_permanent(error):
            self._refused.pop(source, None)
            return
        self._refused[source] = error
        hopeless = self._wanted and self._wanted <= self._refused.keys()
        if hopeless and not self._ever_connected and not self.control.stopping:
            self.control.fail(error)

    async def _wait(self, error: Exception, source: Source, retry: ReconnectDelay) -> None:
        self.control.connection_errors[source.address] = str(error)
        self.control.hooks.call("disconnected", source.address, error)
        if not self.control.stopping:
            delay = retry.delay()
            log.warning("consumer(%s): %s; trying again in %.1f s", self.control.name, error, delay)
            await anyio.sleep(delay)

    async def _serve(self, source: Source, connection: Connection) -> Exception:
        """Consume by one connection until it ends; returns the reason."""
        rdy = ConnectionRdy(limit=connection.negotiated.max_rdy_count)
        subscription = Subscription(source.topic, connection, self.control, rdy)
        connection.on_messages = subscription.receive
        connection.on_message_error = subscription.refused
        reply = connection.request(commands.subscribe(source.topic, self.channel))
        reply.then = lambda: self._on_subscribed(source, reply)
        self.control.join(subscription)
        log.info("consumer(%s): connected to nsqd %s", self.control.name, source.address)
        self.control.hooks.call("connected", source.address)
        try:
            await connection.run()
        finally:
            self.control.leave(subscription)
        assert connection.error is not None  # `run` returns with the reason
        return connection.refusal or connection.error

    def _on_subscribed(self, source: Source, reply: Reply) -> None:
        if reply.error is not None:
            return
        self._ever_connected = True
        self.control.subscribed.add(source.address)
        self.control.connection_errors.pop(source.address, None)
        self.control.notify()
        if self.subscribed is not None and source not in self.fixed:
            self.tasks.start(self.subscribed, source.topic)


def _is_permanent(error: Exception) -> bool:
    """Whether ``error`` will come again whatever is tried: another program or secret is needed."""
    if isinstance(error, ProtocolError):
        return error.code not in PASSING
    return isinstance(error.__cause__, ssl.SSLCertVerificationError)


def _words(source: Source, channel: str) -> tuple[str, str]:
    return source.address, f"{source.topic}/{channel}"
