"""An nsqd for tests: its HTTP half is `NsqdHttp`; V2 goes over streams in memory, as wrong as told.

It has one queue, whatever topic and channel a client asks for, and never times
a message out. What clients do is kept for the test to look at; how it answers
publishes can be scripted.
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import Factory, define
from tests.fakes.fake_cluster import NsqdHttp

from nsqclient import ConnectionOptions, Consumer, open_consumer
from nsqcore.wire import commands as c
from nsqcore.wire.frames import (
    CLOSE_WAIT_FRAME,
    HEARTBEAT_FRAME,
    OK_FRAME,
    response_frame,
)
from nsqcore.wire.headers import MARK, encode_headers, headed_frames, with_block
from nsqcore.wire.parser import CommandParser
from nsqd.testing import MemoryStream, stream_pair

HANG_UP = b""

MAX_SIZE = 64 * 1024 * 1024


@define(eq=False)
class Session:
    """One client of a fake nsqd."""

    nsqd: "FakeNsqd"
    stream: MemoryStream
    ready: int = 0
    subscribed: bool = False
    closing: bool = False
    gone: bool = False
    in_flight: dict[bytes, bytes] = Factory(dict)

    def send(self, data: bytes) -> None:
        self.stream.send_nowait(data)

    def hang_up(self) -> None:
        self.gone = True
        self.stream.close()
        self.ready = 0
        self.nsqd.queue.extend(self.in_flight.values())
        self.in_flight.clear()

    def deliver(self) -> None:
        records = []
        while self.nsqd.queue and len(self.in_flight) < self.ready and not self.closing:
            record = self.nsqd.queue.popleft()
            self.in_flight[record[10:26]] = record
            records.append(record)
        if records:
            self.send(headed_frames(records))


@define(eq=False)
class FakeNsqd(NsqdHttp):
    """See the module. ``replies`` are sent for the next publishes instead of OK.

    `HANG_UP` among them closes the connection, None sends nothing. ``always`` is the
    reply when there are no others, ``refuse`` gives one for a body, or None. After an
    error it closes the connection, as nsqd does, unless ``hangs_up`` is False.
    """

    up: bool = True
    replies: deque[bytes | None] = Factory(deque)
    identify: dict[str, Any] = Factory(dict)
    identified: list[dict[str, Any]] = Factory(list)
    subscriptions: list[tuple[str, str]] = Factory(list)
    published: list[bytes] = Factory(list)
    deferred: list[tuple[bytes, int]] = Factory(list)
    commands: list[str] = Factory(list)
    finished: list[bytes] = Factory(list)
    requeued: list[tuple[bytes, int]] = Factory(list)
    touched: list[bytes] = Factory(list)
    queue: deque[bytes] = Factory(deque)
    sessions: list[Session] = Factory(list)
    dials: int = 0
    chunks: int = 0
    keep_requeued: bool = False
    always: bytes | None = None
    on_subscribe: bytes | None = None
    refuse: Callable[[bytes], bytes | None] = lambda body: None
    hangs_up: bool = True
    refused: int = 0
    _last_id: int = 0

    def put(
        self, *bodies: bytes, attempts: int = 1, headers: Mapping[str, str] | None = None
    ) -> None:
        """Queue messages and deliver what may be. The first of each fake has the same id."""
        for body in bodies:
            if headers:
                attempts |= MARK << 8
                body = with_block(body, encode_headers(headers))
            self._last_id += 1
            head = (10**18 + self._last_id).to_bytes(8, "big") + attempts.to_bytes(2, "big")
            self.queue.append(head + b"%016x" % self._last_id + body)
        self.deliver()

    def deliver(self) -> None:
        for session in self.sessions:
            session.deliver()

    def heartbeat(self) -> None:
        for session in self.sessions:
            session.send(HEARTBEAT_FRAME)

    def hang_up(self) -> None:
        """Cut every connection; what was in flight is queued again."""
        for session in list(self.sessions):
            session.hang_up()

    @property
    def in_flight(self) -> int:
        return sum(len(session.in_flight) for session in self.sessions)

    @property
    def ready(self) -> int:
        return sum(session.ready for session in self.sessions)

    async def serve(self, stream: MemoryStream) -> None:
        parser = CommandParser(MAX_SIZE, MAX_SIZE, 3_600_000)
        session = Session(self, stream)
        self.sessions.append(session)
        try:
            magic = b""
            while len(magic) < 4:
                magic += await stream.receive()
            assert magic[:4] == b"  V2"
            data = magic[4:]
            while True:
                batch = parser.feed(data) if data else []
                while batch:
                    for command in batch:
                        if session.gone:
                            return
                        self._execute(session, command)
                    batch = parser.resume()
                session.deliver()
                data = await stream.receive()
                self.chunks += 1
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass
        finally:
            session.hang_up()
            self.sessions.remove(session)
            self.deliver()

    def _execute(self, session: Session, command: c.Command) -> None:
        match command:
            case c.Identify(body):
                self.identified.append(json.loads(body))
                answer = {"max_rdy_count": 2500, "msg_timeout": 60_000, **self.identify}
                session.send(response_frame(json.dumps(answer).encode()))
            case c.Publish(bodies=bodies, replies=replies):
                self._publish(session, bodies, replies)
            case c.PublishDeferred(body=body, delay=delay):
                if self.always is not None:
                    self._reject(session, self.always)
                    return
                self.deferred.append((body, int(delay)))
                session.send(OK_FRAME)
            case c.Subscribe(topic, channel):
                if self.on_subscribe is not None:
                    self._reject(session, self.on_subscribe)
                    return
                self.subscriptions.append((topic, channel))
                session.send(OK_FRAME)
            case c.Ready(count):
                session.ready = int(count or b"1")
                self.commands.append(f"RDY {session.ready}")
            case c.Finish(ids):
                for id in ids:
                    self.finished.append(session.in_flight.pop(id)[26:])
            case c.Requeue(ids, delay):
                for id in ids:
                    record = session.in_flight.pop(id)
                    self.requeued.append((record[26:], int(delay)))
                    if not self.keep_requeued:
                        attempts = int.from_bytes(record[8:10], "big") + 1
                        self.queue.append(record[:8] + attempts.to_bytes(2, "big") + record[10:])
            case c.Touch(id):
                self.touched.append(session.in_flight[id][26:])
            case c.StartClose():
                session.closing = True
                session.send(CLOSE_WAIT_FRAME)
                self.commands.append("CLS")
            case c.Auth(secret):
                self.commands.append(f"AUTH {secret.decode()}")
                session.send(response_frame(b'{"identity":"me"}'))
            case c.Nop():
                self.commands.append("NOP")
            case _:
                raise AssertionError(f"unexpected {command!r}")

    def _publish(self, session: Session, bodies: list[bytes], replies: int) -> None:
        for _ in range(replies):
            reply = self.replies.popleft() if self.replies else self.always or OK_FRAME
            if reply is None:
                continue
            refusal = self.refuse(bodies[0])
            reply = reply if refusal is None else refusal
            if reply == OK_FRAME:
                self.published.append(bodies[0]) if replies > 1 else self.published.extend(bodies)
                bodies = bodies[1:]
                session.send(reply)
                continue
            bodies = bodies[1:]
            if self._reject(session, reply):
                return

    def _reject(self, session: Session, reply: bytes) -> bool:
        self.refused += 1
        session.send(reply) if reply else None
        if self.hangs_up or not reply:
            session.hang_up()
            return True
        return False

    def freeze(self) -> None:
        """Read no more, on any connection, until `thaw`: as a process that is stopped."""
        for session in self.sessions:
            session.stream.freeze()

    def thaw(self) -> None:
        """Go on."""
        for session in self.sessions:
            session.stream.thaw()


@define(eq=False)
class FakeCluster:
    """Fake nsqds by address; `options` makes clients dial them."""

    tasks: TaskGroup
    nsqds: dict[str, FakeNsqd] = Factory(dict)

    def nsqd(self, address: str = "fake:4150", **settings: Any) -> FakeNsqd:
        """A new nsqd at ``address``."""
        self.nsqds[address] = FakeNsqd(address=address, **settings)
        return self.nsqds[address]

    def options(self, **settings: Any) -> ConnectionOptions:
        """Options of a client that can reach nobody else."""
        return ConnectionOptions(dial=self.dial, **settings)

    def consumer(self, nsqd: FakeNsqd, **settings: Any) -> AbstractAsyncContextManager[Consumer]:
        """A consumer of channel billing of topic orders, at ``nsqd`` alone."""
        return open_consumer(
            "orders", "billing", nsqd=nsqd.address, options=self.options(), **settings
        )

    async def dial(self, address: str) -> MemoryStream:
        await anyio.lowlevel.checkpoint()
        nsqd = self.nsqds.get(address)
        if nsqd is not None:
            nsqd.dials += 1
        if nsqd is None or not nsqd.up:
            raise ConnectionRefusedError("nobody there")
        ours, theirs = stream_pair()
        self.tasks.start_soon(nsqd.serve, theirs)
        return ours


@asynccontextmanager
async def fake_cluster() -> AsyncIterator[FakeCluster]:
    """A cluster that lives as long as the block."""
    async with anyio.create_task_group() as tasks:
        cluster = FakeCluster(tasks)
        yield cluster
        for nsqd in cluster.nsqds.values():
            nsqd.hang_up()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def fake_nsqd(
    address: str = "fake:4150", **settings: Any
) -> AsyncIterator[tuple[FakeCluster, FakeNsqd]]:
    """A cluster of one nsqd, and that nsqd."""
    async with fake_cluster() as cluster:
        yield cluster, cluster.nsqd(address, **settings)


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as ``condition`` holds; how long that may take is the test's to limit."""
    while not condition():  # noqa: ASYNC110 - what a test waits for has no event
        await anyio.sleep(0.002)
