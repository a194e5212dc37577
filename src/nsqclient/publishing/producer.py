"""Publishing: `open_producer`, and the `Producer` it gives.

One connection per nsqd, kept up in the background; publishes go round them.
Publishes of many tasks share a connection: each puts its command into the
outbox and waits for its answer, nsqd answers in order, so nobody waits for
another's round trip.

Each publish has one outcome: it returns, nsqd has the message; or it raises.
What was certainly not published by one nsqd is tried with another: also where
one could not take it, because it drains or its disk is full. What may have been
published, because the answer never came, raises `ConnectionLost` with ``sent``
true, unless ``resend`` asks for a second copy rather than an error.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
from attrs import Factory, define

from nsqclient.connection.connection import Connection
from nsqclient.connection.stream import check_address
from nsqclient.core.arguments import Duration, addresses, instance, switch
from nsqclient.core.background import background
from nsqclient.core.errors import (
    AuthFailed,
    ClientError,
    Closed,
    ConnectionLost,
    ProtocolError,
    PublishError,
)
from nsqclient.core.loop import Loop, running_loop
from nsqclient.core.options import ConnectionOptions, milliseconds
from nsqclient.messages.hooks import Hooks
from nsqclient.publishing.bodies import Body, check_bodies, check_body, check_delay, check_topic
from nsqclient.publishing.endpoint import Endpoint, EndpointState, is_unable
from nsqcore.wire import client_commands as commands


@define(eq=False)
class _Attempts:
    """What one publish has tried so far.

    Attributes:
        tried: the connections whose answer never came, or never could.
        refusals: the nsqds that cannot take messages now, with what they said.
        lost: the attempts that may have published the message.
        dialled: whether the nsqds that are down were asked to connect at once.
    """

    tried: list[Connection] = Factory(list)
    refusals: dict[Endpoint, ProtocolError] = Factory(dict)
    lost: list[ConnectionLost] = Factory(list)
    dialled: bool = False


@define(eq=False, repr=False)
class Producer:
    """Publishes to a set of nsqds. Made by `open_producer`."""

    _hooks: Hooks
    _resend: bool
    _wait_when_down: bool
    _endpoints: list[Endpoint] = Factory(list)
    _loop: Loop = Factory(running_loop)
    _next: int = 0
    _closed: bool = False
    _failure: Exception | None = None
    _changed: anyio.Event = Factory(anyio.Event)

    def __repr__(self) -> str:
        addresses = ", ".join(endpoint.address for endpoint in self._endpoints)
        return f"<Producer for {addresses}: {len(self.connected)} connected>"

    async def publish(self, topic: str, body: Body, *, defer: Duration | None = None) -> None:
        """Publish one message; returns when nsqd has it.

        If cancelled while waiting, the message may or may not have been published.

        Args:
            defer: deliver it no sooner than this many seconds from now; at most nsqd's
                ``--max-req-timeout``.

        Raises:
            PublishError: nsqd refused it, every nsqd is unable to take it, or the arguments
                cannot be sent; not published.
            ConnectionLost: no nsqd can be reached, or the answer never came (``sent``).
            AuthFailed: no nsqd takes our secret.
            Closed: the producer is closed.
        """
        check_topic(topic)
        checked = check_body(body)
        if defer is None:
            command = commands.publish(topic, checked)
        else:
            delay = milliseconds(check_delay(defer))
            command = commands.publish_deferred(topic, checked, delay)
        await self._publish(command, topic, 1)

    async def publish_many(self, topic: str, bodies: Sequence[Body]) -> None:
        """Publish all of ``bodies`` or none, with one command; returns when nsqd has them.

        An empty list publishes nothing. Raises what `publish` raises.
        """
        check_topic(topic)
        checked = check_bodies(bodies)
        if not checked:
            await anyio.lowlevel.checkpoint()
            return
        await self._publish(commands.publish_many(topic, checked), topic, len(checked))

    async def wait_until_connected(self) -> None:
        """Return when at least one nsqd is connected. Limit it with a cancel scope.

        Raises:
            Closed: the producer is closed.
        """
        await anyio.lowlevel.checkpoint()
        while not self.connected:
            self._expect_open()
            await self._changed.wait()

    @property
    def connected(self) -> list[str]:
        """The addresses of the nsqds that are connected now."""
        return [endpoint.address for endpoint in self._endpoints if endpoint.usable]

    async def _publish(self, command: bytes, topic: str, count: int) -> None:
        if self._hooks.published is None:
            return await self._send(command)
        began = self._loop.now()
        try:
            await self._send(command)
        except ClientError as error:
            self._hooks.call("published", topic, count, self._loop.now() - began, error)
            raise
        self._hooks.call("published", topic, count, self._loop.now() - began, None)
        return None

    async def _send(self, command: bytes) -> None:
        attempts = _Attempts()
        try:
            await self._try(command, attempts)
        except ClientError as error:
            # What an earlier attempt did stays uncertain, whatever the last one says.
            if attempts.lost and not (isinstance(error, ConnectionLost) and error.sent):
                raise ConnectionLost(str(error), sent=True) from error
            raise

    async def _try(self, command: bytes, attempts: _Attempts) -> None:
        """Send ``command`` until it has an answer."""
        while True:
            endpoint = self._pick(attempts)
            connection = None if endpoint is None else endpoint.usable
            if endpoint is None or connection is None:
                await self._wait_for_endpoint(attempts)
                continue
            reply = await endpoint.ask(connection, command)
            if reply.error is None:
                endpoint.accepted()
                return
            self._note(reply.error, endpoint, connection, attempts)

    def _note(
        self,
        error: ProtocolError | ConnectionLost,
        endpoint: Endpoint,
        connection: Connection,
        attempts: _Attempts,
    ) -> None:
        """Learn from an attempt that failed; raises if there is to be no other.

        What is raised is new: an error that is also kept would keep its frames, and they it.
        """
        refusal = connection.refusal
        if isinstance(error, ProtocolError) and not is_unable(error):
            raise PublishError(str(error), code=error.code) from error
        if refusal is not None and is_unable(refusal) and not getattr(error, "sent", False):
            # Said of this publish, or of the one before it: nsqd has neither.
            attempts.refusals[endpoint] = refusal
            endpoint.refused(self._loop.now())
            return
        if isinstance(error, ConnectionLost) and error.sent:
            attempts.lost.append(error)
            if not self._resend:
                raise ConnectionLost(str(error), sent=True)
        elif refusal is not None:
            return  # another publish was refused, which says nothing of this one or of nsqd
        attempts.tried.append(connection)
        # Whatever breaks connections one after the other may be this very message.
        if len(attempts.tried) > len(self._endpoints):
            raise ConnectionLost(str(error), sent=bool(attempts.lost))

    def _pick(self, attempts: _Attempts) -> Endpoint | None:
        """The nsqd whose turn it is, of those that may take it; those in trouble come last."""
        endpoints = self._endpoints
        now: float | None = None
        second: Endpoint | None = None
        for _ in endpoints:
            self._next = (self._next + 1) % len(endpoints)
            endpoint = endpoints[self._next]
            connection = endpoint.usable
            if connection is None or connection.is_full or endpoint.is_reserved:
                continue
            if connection in attempts.tried or endpoint in attempts.refusals:
                continue
            if endpoint.unable_until:
                now = self._loop.now() if now is None else now
            if now is not None and now < endpoint.unable_until:
                second = second or endpoint
                continue
            return endpoint
        return second

    async def _wait_for_endpoint(self, attempts: _Attempts) -> None:
        """Return when a connection may be there; raise when there is nothing to wait for."""
        self._expect_open()
        others = [e for e in self._endpoints if e not in attempts.refusals]
        if others and not attempts.dialled:
            attempts.dialled = True
            for endpoint in others:
                endpoint.connect_now()
        # A connection that is up may have no room now, or have just broken, which its task has
        # not noticed yet.
        hopeful = any(e.state is not EndpointState.DOWN for e in others)
        if hopeful or (self._wait_when_down and not attempts.refusals):
            await self._changed.wait()
            return
        if attempts.refusals:
            *_, refusal = attempts.refusals.values()
            raise PublishError(str(refusal), code=refusal.code) from refusal
        errors = [e.error for e in self._endpoints if e.error is not None]
        reasons = "; ".join(map(str, errors))
        if all(isinstance(error, AuthFailed) for error in errors):
            code = next(error.code for error in errors if isinstance(error, AuthFailed))
            raise AuthFailed(reasons, code=code) from errors[-1]
        raise ConnectionLost(f"no nsqd to publish to: {reasons}") from errors[-1]

    def _expect_open(self) -> None:
        if self._closed:
            raise Closed("the producer is closed") from self._failure

    def _on_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _close(self) -> None:
        """Give the outboxes a moment: their publishers may have been cancelled."""
        self._closed = True
        self._on_change()
        with anyio.move_on_after(1.0):
            for endpoint in self._endpoints:
                if endpoint.connection is not None:
                    await endpoint.connection.flush()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._closed = True
        self._on_change()


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
    It may be entered in one task and left in another.

    Args:
        nsqd: TCP addresses, ``host:port`` or ``unix:/path``.
        resend: publish again elsewhere when an answer was lost: a message may then be there twice.
        wait_when_down: while no nsqd can be reached, wait for one, for as long as the caller's
            cancel scope allows, instead of raising `ConnectionLost`.

    Raises:
        ValueError: an address is wrong, or there is none.
        TypeError: an argument is of a wrong type.
    """
    found = addresses(nsqd, "nsqd")
    if not found:
        raise ValueError("nowhere to publish to: give the address of an nsqd")
    options = ConnectionOptions() if options is None else options
    instance(options, ConnectionOptions, "options")
    hooks = instance(Hooks() if hooks is None else hooks, Hooks, "hooks")
    producer = Producer(hooks, switch(resend, "resend"), switch(wait_when_down, "wait_when_down"))
    for address in found:
        check_address(address)
        endpoint = Endpoint(address, options, hooks, producer._on_change)
        producer._endpoints.append(endpoint)
    async with background(producer._close, producer._fail) as tasks:
        for endpoint in producer._endpoints:
            tasks.start(endpoint.run)
        yield producer
