"""An nsqd inside the test's process: the real engine, over streams in memory.

```python
async with nsqd.testing.open_nsqd() as nsqd:
    async with open_producer(nsqd.address, options=nsqd.options()) as producer:
        await producer.publish("orders", b"one")
```

No socket, no port, no thread: topics, channels, timeouts, deferrals and error
texts are those of the daemon, and time is the event loop's. Under trio with a
`trio.testing.MockClock` a test of an hour of retries takes milliseconds and
comes out the same each time (but for the client's jitter). TLS, compression and
AUTH are not offered.
"""

import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import anyio
import anyio.lowlevel

from nsqclient.core.background import Background, background
from nsqclient.core.options import ConnectionOptions
from nsqcore.classes import Factory, define, field, frozen
from nsqcore.net.effects import Close, Effect, Peer, Wait
from nsqcore.units import SECOND
from nsqcore.wire.identify import Limits
from nsqd.client.client import ClientSettings, Services
from nsqd.client.session import Session, open_session
from nsqd.engine.broker import Broker, EngineSettings
from nsqd.engine.rules import Rules
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.queues.tiered import TieredStorage
from nsqd.testing.stream import MemoryStream, stream_pair

log = logging.getLogger("nsqclient")


# Message timestamps begin here, so that they are the same in every run: 2020-01-01.
WALL_CLOCK = 1_577_836_800 * SECOND

# Far more than a test queues: nothing goes to the disk.
IN_MEMORY = 10_000_000

GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


@frozen
class Counts:
    """What a channel has."""

    depth: int
    in_flight: int
    deferred: int
    requeued: int
    timed_out: int


@define(eq=False, repr=False)
class Call:
    """A call to come."""

    run: Callable[[], None] | None

    def cancel(self) -> None:
        """Forget it."""
        self.run = None


@define(eq=False, repr=False)
class Nsqd:
    """An nsqd in memory. Made by `open_nsqd`.

    ``accepting`` False refuses new connections, as an nsqd that is down does.
    """

    address: str
    broker: Broker
    _tasks: Background
    _settings: ClientSettings
    accepting: bool = True
    _services: Services = field(init=False)
    _streams: set[MemoryStream] = Factory(set)
    _wakers: dict[Session, anyio.Event] = Factory(dict)
    _calls: list[tuple[int, int, Call]] = Factory(list)
    _number: "count[int]" = Factory(count)
    _nudge: anyio.Event = Factory(anyio.Event)

    def __attrs_post_init__(self) -> None:
        self._services = Services(
            broker=self.broker,
            settings=self._settings,
            now=now,
            call_at=self._call_at,
            upgrade=_not_offered,
            authorize=_not_offered,
            request_tick=self._end_tick,
        )

    def options(self, **settings: Any) -> ConnectionOptions:
        """Options of a client that dials this nsqd, whatever address it was given."""
        return ConnectionOptions(dial=self.dial, **settings)

    async def dial(self, address: str) -> MemoryStream:
        """A stream to this nsqd, for `ConnectionOptions`."""
        await anyio.lowlevel.checkpoint()
        if not self.accepting:
            raise ConnectionRefusedError(f"{address} does not accept connections")
        ours, theirs = stream_pair()
        self._tasks.start(self._serve, theirs)
        return ours

    def create_channel(self, topic: str, channel: str) -> None:
        """Make a channel, so that it gets what is published from now on."""
        self.broker.create_channel(topic, channel)

    def publish(self, topic: str, *bodies: bytes) -> None:
        """Publish without a client."""
        self.broker.publish(topic, list(bodies), now(), lambda failure: None)
        self._end_tick()

    def counts(self, topic: str, channel: str) -> Counts:
        """What a channel has now; it is made if it is not there."""
        found = self.broker.create_channel(topic, channel)
        self.broker.dispatch(now())
        return Counts(
            found.depth,
            found.in_flight_count,
            found.deferred_count,
            found.requeue_count,
            found.timeout_count,
        )

    def hang_up(self) -> None:
        """Cut every connection, as a crash does; the messages stay."""
        for stream in list(self._streams):
            stream.close()

    async def _serve(self, stream: MemoryStream) -> None:
        wall = now() + self.broker.wall_offset
        session = open_session(self._services, wall, self._forget, Peer("memory:0"))
        self._streams.add(stream)
        self._wakers[session] = anyio.Event()
        session.outbox.wake = lambda: self._wakers[session].set()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write, session, stream, tasks.cancel_scope)
                await self._read(session, stream)
                tasks.cancel_scope.cancel()
        finally:
            self._streams.discard(stream)
            session.closed(None)
            session.outbox.end()
            stream.close()
            self._end_tick()

    async def _read(self, session: Session, stream: MemoryStream) -> None:
        effect: Effect | None = None
        while effect is None:
            try:
                data = await stream.receive()
            except GONE:
                data = b""
            effect = session.received(data)
            self._end_tick()
            while isinstance(effect, Wait):
                await effect.run()
                effect = effect.resume()
                self._end_tick()
        if not isinstance(effect, Close):
            log.error("nsqd(%s): cannot do %r", self.address, effect)
        self._send(session, stream)

    async def _write(
        self, session: Session, stream: MemoryStream, scope: anyio.CancelScope
    ) -> None:
        while session.outbox.closing is None:
            await self._wakers[session].wait()
            self._wakers[session] = anyio.Event()
            self._send(session, stream)
        scope.cancel()

    def _send(self, session: Session, stream: MemoryStream) -> None:
        data = session.outbox.take()
        if data:
            stream.send_nowait(data)

    def _forget(self, session: Session) -> None:
        del self._wakers[session]

    def _end_tick(self) -> None:
        while self.broker.dispatch(now()):
            pass
        self._nudge.set()

    def _call_at(self, when: int, run: Callable[[], None]) -> Call:
        call = Call(run)
        heappush(self._calls, (when, next(self._number), call))
        self._nudge.set()
        return call

    async def _keep_time(self) -> None:
        while True:
            moment = now()
            while self._calls and self._calls[0][0] <= moment:
                call = heappop(self._calls)[2]
                if call.run is not None:
                    call.run()
            self.broker.expire(moment)
            self._end_tick()
            self._nudge = anyio.Event()
            whens = [self._calls[0][0]] if self._calls else []
            if self.broker.deadlines.next is not None:
                whens.append(self.broker.deadlines.next)
            # Rounded up: a call that came too early would find nothing to do.
            deadline = min(whens, default=math.inf) / SECOND + 1e-6
            with anyio.CancelScope(deadline=deadline):
                await self._nudge.wait()


def now() -> int:
    """The event loop's time, in ns."""
    return round(anyio.current_time() * SECOND)


def _not_offered(*_: object) -> NoReturn:
    raise NotImplementedError("no TLS, compression or AUTH in memory")


@asynccontextmanager
async def open_nsqd(
    address: str = "memory:4150",
    *,
    msg_timeout: float = 60.0,
    max_msg_timeout: float = 900.0,
    max_req_timeout: float = 3600.0,
    max_msg_size: int = 1024 * 1024,
    max_body_size: int = 5 * 1024 * 1024,
    max_rdy_count: int = 2500,
) -> AsyncIterator[Nsqd]:
    """An nsqd that lives as long as the block. The settings are nsqd's flags, in seconds and bytes.

    Several may be open at once; a client of more than one needs a ``dial`` that
    chooses by address.
    """
    settings = ClientSettings(
        limits=Limits(
            msg_timeout=round(msg_timeout * 1000),
            max_msg_timeout=round(max_msg_timeout * 1000),
            max_rdy_count=max_rdy_count,
            deflate=False,
            snappy=False,
            version="memory",
        ),
        max_msg_size=max_msg_size,
        max_body_size=max_body_size,
        max_req_timeout=round(max_req_timeout * SECOND),
        max_defer_timeout=round(max_req_timeout * SECOND),
        max_msg_timeout=round(max_msg_timeout * SECOND),
    )
    with TemporaryDirectory(prefix="nsqd-memory-") as directory:
        store = DiskStore(directory, warn=log.warning)
        rules = Rules(mem_queue_size=IN_MEMORY)
        broker = Broker(EngineSettings(rules=rules), TieredStorage(store), WALL_CLOCK)
        failures: list[Exception] = []  # raised where the block is left
        async with background(anyio.lowlevel.checkpoint, failures.append) as tasks:
            nsqd = Nsqd(address, broker, tasks, settings)
            tasks.start(nsqd._keep_time)
            yield nsqd
