"""Publishing: the `Producer` that `open_producer` gives.

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

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel

from nsqclient.connection.connection import Connection
from nsqclient.core.arguments import Duration
from nsqclient.core.errors import (
    ClientError,
    Closed,
    ConnectionLost,
    Overloaded,
    ProtocolError,
    PublishError,
)
from nsqclient.core.lifetime import Closable, Health
from nsqclient.core.loop import Loop, running_loop
from nsqclient.core.options import milliseconds
from nsqclient.messages.hooks import Hooks
from nsqclient.messages.span import begin_span
from nsqclient.publishing.attempts import Attempts
from nsqclient.publishing.bodies import (
    Encode,
    check_bodies,
    check_body,
    check_delay,
    check_headers,
    check_topic,
    headers_block,
    with_copy_key,
)
from nsqclient.publishing.endpoint import UNABLE_RANK, Endpoint, EndpointState, is_unable
from nsqclient.publishing.nodes import Nodes
from nsqcore.classes import Factory, define
from nsqcore.wire import client_commands as commands


@define(eq=False, repr=False)
class Producer(Closable):
    """Publishes to a set of nsqds. Made by `open_producer`."""

    _hooks: Hooks
    _resend: bool
    _wait_when_down: bool
    _encode: Encode | None = None
    _copies: int = 1
    _max_waiting: float = math.inf
    _waiting: int = 0
    _endpoints: list[Endpoint] = Factory(list)
    _nodes: Nodes | None = None
    _loop: Loop = Factory(running_loop)
    _next: int = 0
    _closed: bool = False
    _failure: Exception | None = None
    _changed: anyio.Event = Factory(anyio.Event)

    def __repr__(self) -> str:
        addresses = ", ".join(endpoint.address for endpoint in self._endpoints)
        return f"<Producer for {addresses}: {len(self.connected)} connected>"

    async def publish(
        self,
        topic: str,
        body: Any,
        *,
        defer: Duration | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Publish one message; returns when nsqd has it.

        If cancelled while waiting, the message may or may not have been published.

        Args:
            body: bytes; with ``encode`` (see `open_producer`) also a value that it takes.
            defer: deliver it no sooner than this many seconds from now; at most nsqd's
                ``--max-req-timeout``.
            headers: names and values that come with the message to consumers that know headers.
                nsqds that do not, and topics that are not durable, keep the body alone.

        Raises:
            PublishError: nsqd refused it, every nsqd is unable to take it, or the arguments
                cannot be sent; not published.
            ConnectionLost: no nsqd can be reached, or the answer never came (``sent``).
            AuthFailed: no nsqd takes our secret.
            Overloaded: too many publishes wait already (``max_waiting``).
            Closed: the producer is closed.
        """
        check_topic(topic)
        checked = check_body(body, self._encode)
        delay = None if defer is None else milliseconds(check_delay(defer))
        if delay is None:
            command = partial(commands.publish, topic, checked)
        else:
            command = partial(commands.publish_deferred, topic, checked, delay)
        headers = with_copy_key(headers) if self._copies > 1 else headers
        head = partial(commands.publish_headed, topic, checked, delay=delay)
        await self._publish(command, topic, 1, headers, head)

    async def publish_many(
        self, topic: str, bodies: Sequence[Any], *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish all of ``bodies`` or none, with one command; returns when nsqd has them.

        Each has the same ``headers`` (see `publish`). An empty list publishes nothing. Raises what
        `publish` raises.
        """
        check_topic(topic)
        checked = check_bodies(bodies, self._encode)
        if not checked:
            await anyio.lowlevel.checkpoint()
            return
        if self._copies > 1 and len(set(checked)) == len(checked):  # else copies are not told apart
            headers = with_copy_key(headers)
        command = partial(commands.publish_many, topic, checked)
        head = partial(commands.publish_many_headed, topic, checked)
        await self._publish(command, topic, len(checked), headers, head)

    async def wait_until_connected(self) -> None:
        """Return when at least one nsqd is connected. Limit it with a cancel scope.

        Raises:
            ConnectionLost: what was given as nsqlookupds answers as no nsqlookupd does.
            Closed: the producer is closed.
        """
        await anyio.lowlevel.checkpoint()
        while not self.connected:
            self._expect_open()
            self._expect_nsqlookupd()
            await self._changed.wait()

    async def wait_until_settled(self) -> None:
        """Return when every nsqlookupd has answered or failed, and every nsqd that they named is
        connected or could not be reached. Limit it with a cancel scope.

        Raises:
            Closed: the producer is closed.
        """
        await anyio.lowlevel.checkpoint()
        self._expect_open()
        while not self._is_settled():
            await self._changed.wait()
            self._expect_open()

    def _is_settled(self) -> bool:
        asked = self._nodes is None or self._nodes.has_asked_all
        return asked and all(e.state is not EndpointState.CONNECTING for e in self._endpoints)

    @property
    def known(self) -> list[str]:
        """The addresses of the nsqds that were given or found, also of those not connected now."""
        return [endpoint.address for endpoint in self._endpoints]

    @property
    def connected(self) -> list[str]:
        """The addresses of the nsqds that are connected now."""
        return [endpoint.address for endpoint in self._endpoints if endpoint.usable]

    def health(self) -> Health:
        """How it is: ``ok`` while an nsqd is connected that could take the last message."""
        now = self._loop.now()
        usable = [e for e in self._endpoints if e.usable]
        unable = [e.address for e in usable if now < e.unable_until]
        problems = [str(e.error) for e in self._endpoints if e.error and not e.usable]
        problems += [f"nsqd {address}: could not take a message" for address in unable]
        problems += [] if self._nodes is None else self._nodes.reasons()
        if self._closed:
            problems.insert(0, "closed")
        ok = len(usable) > len(unable) and not self._closed
        return Health(ok=ok, connected=sorted(self.connected), problems=problems)

    async def _publish(
        self,
        command: Callable[[], bytes],
        topic: str,
        count: int,
        headers: Mapping[str, str] | None,
        head: Callable[[bytes], bytes],
    ) -> None:
        """Send ``command``, or where nsqd takes headers what ``head`` makes of their block."""
        if self._waiting >= self._max_waiting:
            raise Overloaded(f"{self._waiting} publishes wait already")
        self._waiting += 1
        try:
            await self._traced(command, topic, count, headers, head)
        finally:
            self._waiting -= 1

    async def _traced(
        self,
        command: Callable[[], bytes],
        topic: str,
        count: int,
        headers: Mapping[str, str] | None,
        head: Callable[[bytes], bytes],
    ) -> None:
        block = check_headers(headers)
        publishing = self._hooks.publishing
        if publishing is None:
            await self._timed(command, topic, count, partial(head, block) if block else None)
            return
        span = begin_span("publishing", lambda: publishing(topic, count, headers or {}))
        block = headers_block(span.value, block)
        try:
            await self._timed(command, topic, count, partial(head, block) if block else None)
        except BaseException as error:
            span.end(error)
            raise
        span.end(None)

    async def _timed(
        self,
        command: Callable[[], bytes],
        topic: str,
        count: int,
        headed: Callable[[], bytes] | None,
    ) -> None:
        if self._hooks.published is None:
            return await self._send(command, headed)
        began = self._loop.now()
        try:
            await self._send(command, headed)
        except ClientError as error:
            self._hooks.call("published", topic, count, self._loop.now() - began, error)
            raise
        self._hooks.call("published", topic, count, self._loop.now() - began, None)
        return None

    async def _send(self, command: Callable[[], bytes], headed: Callable[[], bytes] | None) -> None:
        taken: list[Endpoint] = []
        while len(taken) < self._copies:
            taken.append(await self._send_copy(command, headed, taken))

    async def _send_copy(
        self,
        command: Callable[[], bytes],
        headed: Callable[[], bytes] | None,
        taken: Sequence[Endpoint],
    ) -> Endpoint:
        """Send it to an nsqd that has none yet; returns which that is."""
        attempts = Attempts(taken=taken)
        try:
            return await self._try(command, headed, attempts)
        except ClientError as error:
            if taken:
                text = f"{len(taken)} of {self._copies} copies published: {error}"
                raise ConnectionLost(text, sent=True) from error
            # What an earlier attempt did stays uncertain, whatever the last one says.
            if attempts.lost and not (isinstance(error, ConnectionLost) and error.sent):
                raise ConnectionLost(str(error), sent=True) from error
            raise

    async def _try(
        self,
        command: Callable[[], bytes],
        headed: Callable[[], bytes] | None,
        attempts: Attempts,
    ) -> Endpoint:
        """Send ``command`` until it has an answer; returns which nsqd has taken it.

        It is made for each attempt, when there is a connection with room, and kept by nobody once
        it is sent: publishes that wait hold no copies of their bodies.
        """
        while True:
            endpoint = self._pick(attempts)
            connection = None if endpoint is None else endpoint.usable
            if endpoint is None or connection is None:
                await self._wait_for_endpoint(attempts)
                continue
            made = headed if headed is not None and connection.negotiated.headers else command
            reply = await endpoint.ask(connection, made())
            if reply.error is None:
                endpoint.accepted()
                return endpoint
            self._note(reply.error, endpoint, connection, attempts)

    def _note(
        self,
        error: ProtocolError | ConnectionLost,
        endpoint: Endpoint,
        connection: Connection,
        attempts: Attempts,
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

    def _pick(self, attempts: Attempts) -> Endpoint | None:
        """The nsqd whose turn it is, of the nearest that may take it; in trouble is last."""
        endpoints = self._endpoints
        now: float | None = None
        best, best_rank, turn = None, 0, self._next
        for _ in endpoints:
            turn = (turn + 1) % len(endpoints)
            endpoint = endpoints[turn]
            connection = endpoint.usable
            if connection is None or connection.is_full or endpoint.is_reserved:
                continue
            if connection in attempts.tried or endpoint in attempts.refusals:
                continue
            if attempts.taken and endpoint in attempts.taken:
                continue
            rank = endpoint.rank
            if endpoint.unable_until:
                now = self._loop.now() if now is None else now
                if now < endpoint.unable_until:
                    rank += UNABLE_RANK
            if best is None or rank < best_rank:
                best, best_rank, self._next = endpoint, rank, turn
                if not rank:
                    break
        return best

    async def _wait_for_endpoint(self, attempts: Attempts) -> None:
        """Return when a connection may be there; raise when there is nothing to wait for."""
        self._expect_open()
        done = {*attempts.refusals, *attempts.taken}
        others = [e for e in self._endpoints if e not in done]
        if not attempts.dialled and (others or not self._endpoints):
            attempts.dialled = True
            for endpoint in others:
                endpoint.connect_now()
            if self._nodes is not None:
                attempts.asked = self._nodes.ask()
        # A connection that is up may have no room now, or have just broken, which its task has
        # not noticed yet.
        hopeful = any(e.state is not EndpointState.DOWN for e in others)
        if self._nodes is not None and not attempts.refusals:
            hopeful = hopeful or not self._nodes.is_heard(attempts.asked)
        self._expect_nsqlookupd()
        if hopeful or (self._wait_when_down and not attempts.refusals):
            await self._changed.wait()
            return
        reasons = [] if self._nodes is None else self._nodes.reasons()
        attempts.fail([e.error for e in self._endpoints if e.error], reasons)

    def _expect_nsqlookupd(self) -> None:
        """Raise ConnectionLost if nothing that was given as nsqlookupd is one."""
        failure = None if self._nodes is None else self._nodes.failure
        if failure is not None:
            raise ConnectionLost(f"no nsqd to publish to: {failure}") from failure

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
