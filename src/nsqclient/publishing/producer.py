"""Publishing: `open_producer`, and the `Producer` it gives.

One connection per nsqd, kept up in the background; publishes go round them.
Publishes of many tasks share a connection: each puts its command into the
outbox and waits for its answer, nsqd answers in order, so nobody waits for
another's round trip.

Each publish has one outcome: it returns, nsqd has the message; or it raises.
What was certainly not published by one connection is tried with another. What
may have been, because the answer never came, raises `ConnectionLost` with
``sent`` true, unless ``resend`` asks for a second copy rather than an error.
"""

import logging
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum

import anyio
import anyio.lowlevel
from attrs import Factory, define

from nsqclient.connection.connection import Connection, connect
from nsqclient.connection.stream import check_address
from nsqclient.core.background import background
from nsqclient.core.errors import (
    AuthFailed,
    ClientError,
    Closed,
    ConnectionLost,
    ProtocolError,
    PublishError,
)
from nsqclient.core.options import ConnectionOptions, milliseconds
from nsqclient.core.reconnect import GOOD_LIFE, ReconnectDelay
from nsqclient.messages.hooks import Hooks
from nsqcore.names import is_valid_name
from nsqcore.wire import client_commands as commands

log = logging.getLogger("nsqclient")

# A size is a signed 32-bit number on the wire; nsqd's own limits are far lower, and its to enforce.
MAX_SIZE = 2**31 - 1

Body = bytes | bytearray | memoryview
"""What can be published; a copy is made of what could change."""


class LinkState(Enum):
    """What a publish may hope for from a link."""

    TRYING = "an attempt to connect is under way"
    UP = "connected"
    DOWN = "the last attempt failed; the next one comes later"


@define(eq=False)
class Link:
    """One nsqd of a producer: its connection while there is one."""

    address: str
    state: LinkState = LinkState.TRYING
    connection: Connection | None = None
    error: ClientError | None = None

    @property
    def usable(self) -> Connection | None:
        """The connection, if it is alive."""
        connection = self.connection
        return None if connection is None or connection.error is not None else connection


@define(eq=False, repr=False)
class Producer:
    """Publishes to a set of nsqds. Made by `open_producer`."""

    _options: ConnectionOptions
    _hooks: Hooks
    _links: list[Link]
    _resend: bool
    _wait_when_down: bool
    _turn: int = 0
    _closed: bool = False
    _changed: anyio.Event = Factory(anyio.Event)

    def __repr__(self) -> str:
        addresses = ", ".join(link.address for link in self._links)
        return f"<Producer for {addresses}: {len(self.connected)} connected>"

    async def publish(self, topic: str, body: Body, *, defer: float | None = None) -> None:
        """Publish one message; returns when nsqd has it.

        If cancelled while waiting, the message may or may not have been published.

        Args:
            defer: deliver it no sooner than this many seconds from now; at most nsqd's
                ``--max-req-timeout``.

        Raises:
            PublishError: nsqd refused it, or the arguments cannot be sent; not published.
            ConnectionLost: no nsqd can be reached, or the answer never came (``sent``).
            AuthFailed: no nsqd takes our secret.
        """
        _check_topic(topic)
        checked = _checked(body)
        if defer is None:
            command = commands.publish(topic, checked)
        elif not 0 <= defer < math.inf:
            raise PublishError(f"cannot defer by {defer:g} s", code="E_INVALID")
        else:
            command = commands.publish_deferred(topic, checked, milliseconds(defer))
        await self._publish(command, topic, 1)

    async def publish_many(self, topic: str, bodies: Sequence[Body]) -> None:
        """Publish all of ``bodies`` or none, with one command; returns when nsqd has them.

        An empty list publishes nothing. Raises what `publish` raises.
        """
        _check_topic(topic)
        checked = [_checked(body) for body in bodies]
        if not checked:
            await anyio.lowlevel.checkpoint()
            return
        if sum(map(len, checked)) + 4 * len(checked) + 4 > MAX_SIZE:
            raise PublishError("the bodies are too large for one command", code="E_BAD_BODY")
        await self._publish(commands.publish_many(topic, checked), topic, len(checked))

    async def wait_until_connected(self) -> None:
        """Return when at least one nsqd is connected. Limit it with a cancel scope."""
        await anyio.lowlevel.checkpoint()
        while not self.connected:
            await self._changed.wait()

    @property
    def connected(self) -> list[str]:
        """The addresses of the nsqds that are connected now."""
        return [link.address for link in self._links if link.usable]

    async def _publish(self, command: bytes, topic: str, count: int) -> None:
        report = self._hooks.published
        if report is None:
            return await self._send(command)
        began = anyio.current_time()
        try:
            await self._send(command)
        except ClientError as error:
            report(topic, count, anyio.current_time() - began, error)
            raise
        report(topic, count, anyio.current_time() - began, None)
        return None

    async def _send(self, command: bytes) -> None:
        lost: list[ConnectionLost] = []
        try:
            await self._try(command, lost)
        except ClientError as error:
            if lost and error is not lost[-1]:  # what an earlier attempt did stays uncertain
                raise ConnectionLost(str(error), sent=True) from error
            raise

    async def _try(self, command: bytes, lost: list[ConnectionLost]) -> None:
        """Send ``command`` until it has an answer; ``lost`` gets the attempts without one."""
        tried: list[Connection] = []
        while True:
            connection = self._pick(tried)
            if connection is None:
                await self._wait_for_link()
                continue
            reply = connection.request(command)
            await reply.done.wait()
            error = reply.error
            if error is None:
                return
            if isinstance(error, ProtocolError):
                raise PublishError(str(error), code=error.code) from error
            if error.sent:
                lost.append(error)
                if not self._resend:
                    raise error
            tried.append(connection)
            # Whatever breaks connections one after the other may be this very message.
            if len(tried) > len(self._links):
                raise error

    def _pick(self, tried: list[Connection]) -> Connection | None:
        """The connection whose turn it is, of those that are up and were not tried."""
        links = self._links
        for _ in links:
            self._turn = (self._turn + 1) % len(links)
            connection = links[self._turn].usable
            if connection is not None and connection not in tried:
                return connection
        return None

    async def _wait_for_link(self) -> None:
        """Return when a connection may be there; raise when there is nothing to wait for."""
        if self._closed:
            raise Closed("the producer is closed")
        hopeful = self._wait_when_down or any(
            link.state is LinkState.TRYING for link in self._links
        )
        # A connection that has just broken is still up by its state, until its task has noticed.
        noticing = any(link.state is LinkState.UP for link in self._links)
        if hopeful or noticing:
            await self._changed.wait()
            return
        errors = [link.error for link in self._links if link.error is not None]
        for error in errors:
            if isinstance(error, AuthFailed):
                raise AuthFailed(str(error), code=error.code) from error
        reasons = "; ".join(map(str, errors))
        raise ConnectionLost(f"no nsqd to publish to: {reasons}") from errors[-1]

    async def _keep(self, link: Link) -> None:
        retry = ReconnectDelay(self._options.max_reconnect_delay)
        while True:
            self._set(link, LinkState.TRYING)
            began = anyio.current_time()
            try:
                connection = await connect(link.address, self._options)
            except ClientError as error:
                self._lose(link, error, LinkState.DOWN)
            else:
                await self._use(link, connection)
                # nsqd may only have been restarted: publishes wait for the next attempt, which
                # comes after a moment. Not with one that hangs up again and again.
                state = LinkState.DOWN if retry.failures else LinkState.TRYING
                if anyio.current_time() - began >= GOOD_LIFE:
                    state = LinkState.TRYING
                    retry.succeeded()
                reason = connection.error or ConnectionLost(f"nsqd {link.address}: closed")
                self._lose(link, reason, state)
            delay = retry.delay()
            log.warning("producer: %s; trying again in %.1f s", link.error, delay)
            await anyio.sleep(delay)

    async def _use(self, link: Link, connection: Connection) -> None:
        """Offer a connection to publishes until it ends."""
        link.connection = connection
        self._set(link, LinkState.UP)
        log.info("producer: connected to nsqd %s", link.address)
        if self._hooks.connected is not None:
            self._hooks.connected(link.address)
        try:
            await connection.run()
        finally:
            link.connection = None

    def _lose(self, link: Link, error: ClientError, state: LinkState) -> None:
        link.error = error
        self._set(link, state)
        if self._hooks.disconnected is not None:
            self._hooks.disconnected(link.address, error)

    def _set(self, link: Link, state: LinkState) -> None:
        link.state = state
        self._changed.set()
        self._changed = anyio.Event()

    async def _close(self) -> None:
        """Give the outboxes a moment: their publishers may have been cancelled."""
        self._closed = True
        with anyio.move_on_after(1.0):
            for link in self._links:
                if link.connection is not None:
                    await link.connection.flush()
        self._changed.set()


def _check_topic(topic: str) -> None:
    if not isinstance(topic, str) or not is_valid_name(topic):
        raise PublishError(f"{topic!r} is not a valid topic name", code="E_BAD_TOPIC")


def _checked(body: Body) -> bytes:
    if not isinstance(body, bytes):
        if not isinstance(body, bytearray | memoryview):
            raise TypeError(f"a body is bytes, not {type(body).__name__}")
        body = bytes(body)
    if not 0 < len(body) <= MAX_SIZE:
        raise PublishError(f"a body of {len(body)} bytes cannot be sent", code="E_BAD_MESSAGE")
    return body


@asynccontextmanager
async def open_producer(
    nsqd: str | Sequence[str],
    *,
    resend: bool = False,
    wait_when_down: bool = False,
    options: ConnectionOptions | None = None,
    hooks: Hooks | None = None,
) -> AsyncIterator[Producer]:
    """A producer for the nsqds at the addresses given, for as long as the ``async with`` lasts.

    It connects in the background; the first publish waits for that. Publishes
    go round the connected nsqds; one that goes away is left out until it is back.

    Args:
        nsqd: TCP addresses, ``host:port`` or ``unix:/path``.
        resend: publish again elsewhere when an answer was lost: a message may then be there twice.
        wait_when_down: while no nsqd can be reached, wait for one, for as long as the caller's
            cancel scope allows, instead of raising `ConnectionLost`.

    Raises:
        ValueError: an address is wrong, or there is none.
    """
    addresses = [nsqd] if isinstance(nsqd, str) else list(nsqd)
    if not addresses:
        raise ValueError("nowhere to publish to: give the address of an nsqd")
    links = [Link(check_address(address)) for address in addresses]
    producer = Producer(
        options or ConnectionOptions(), hooks or Hooks(), links, resend, wait_when_down
    )
    async with background(producer._close) as tasks:
        for link in links:
            tasks.start(producer._keep, link)
        yield producer
