"""Sessions of one nsqd without its service: a real broker, and clients without sockets.

A `World` has its clock in hand; a `Talk` is one client in it, whose answers are shown as text:
``OK``, ``E_INVALID …``, and messages as `Message`.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from tests.nsqcore.reactor.pairs import run_reactor, serve_pair
from tests.nsqd.broker import open_broker, publish

from nsqcore.net.effects import Effect, Peer, Wait
from nsqcore.net.tls import ServerTls
from nsqcore.reactor.reactor import Reactor
from nsqcore.reactor.timers import Timers
from nsqcore.wire.frames import ErrorFrame, FrameParser, Message, Messages, Response, parse_record
from nsqcore.wire.identify import Limits
from nsqd.client.client import Client, ClientSettings, Services
from nsqd.client.permissions import Permissions, parse_permissions
from nsqd.client.session import Session, open_session
from nsqd.client.upgrades import upgrade
from nsqd.engine.broker import Broker
from nsqd.storage.diskqueue.store import DiskStore

SECOND = 1_000_000_000
WALL = 1_700_000_000 * SECOND

Answer = str | Message


def body(data: bytes) -> bytes:
    """``data`` with its size in front."""
    return struct.pack(">i", len(data)) + data


def mpub(topic: str, *bodies: bytes) -> bytes:
    """An MPUB of ``bodies``."""
    packed = struct.pack(">i", len(bodies)) + b"".join(map(body, bodies))
    return b"MPUB %s\n" % topic.encode() + body(packed)


def identify(**fields: Any) -> bytes:
    """An IDENTIFY with ``fields``."""
    return b"IDENTIFY\n" + body(json.dumps(fields).encode())


def grant(
    topic: str = ".*",
    channels: tuple[str, ...] = (".*",),
    permissions: tuple[str, ...] = ("subscribe", "publish"),
    ttl: int = 60,
) -> bytes:
    """What an auth server says yes with."""
    allowed = {"topic": topic, "channels": channels, "permissions": permissions}
    answer = {
        "ttl": ttl,
        "identity": "me",
        "identity_url": "http://me",
        "authorizations": [allowed],
    }
    return json.dumps(answer).encode()


def bodies(answers: list[Answer]) -> list[bytes]:
    """The bodies of the messages among ``answers``."""
    return [answer.body for answer in answers if isinstance(answer, Message)]


def readable(frames: list[Any]) -> list[Answer]:
    """Frames as tests compare them."""
    found: list[Answer] = []
    for frame in frames:
        if isinstance(frame, Messages):
            found += map(parse_record, frame.records)
        else:
            assert isinstance(frame, Response | ErrorFrame), frame
            found.append(frame.data.decode())
    return found


@define(eq=False)
class World:
    """A broker, its clock, and what a service would do for sessions.

    ``verdicts`` are what the auth servers are going to say: permissions, or why there are none.
    """

    directory: Path
    limits: Limits = field(factory=Limits)
    settings: dict[str, Any] = field(factory=dict)
    engine: dict[str, Any] = field(factory=dict)
    clock: Callable[[], int] | None = None
    now: int = 0
    tls: ServerTls | None = None
    reactor: Reactor | None = None  # drives sessions, in the tests that have sockets
    verdicts: list[bytes | Exception] = field(factory=list)
    asked: list[bytes | None] = field(factory=list)
    talks: list["Talk"] = field(factory=list)
    ended: list[Session] = field(factory=list)
    broker: Broker = field(init=False)
    timers: Timers = field(init=False)
    services: Services = field(init=False)

    def __attrs_post_init__(self) -> None:
        store = DiskStore(str(self.directory), warn=print)
        self.broker = open_broker(store, wall_offset=WALL, **self.engine)
        self.timers = Timers(self.time, self.end_tick)
        self.services = Services(
            broker=self.broker,
            settings=ClientSettings(limits=self.limits, **self.settings),
            now=self.time,
            call_at=self.timers.call_at,
            upgrade=lambda session: upgrade(self.tls, session),
            authorize=self.authorize,
            request_tick=self.request_tick,
        )

    def time(self) -> int:
        return self.clock() if self.clock else self.now

    def end_tick(self) -> None:
        self.dispatch()
        if self.reactor is not None:
            self.reactor.finish_tick()

    def dispatch(self) -> None:
        while self.broker.dispatch(self.time()):
            pass

    def request_tick(self) -> None:
        if self.reactor is not None:
            self.reactor.request_tick()
        else:
            self.dispatch()

    async def serve(self, nursery: trio.Nursery, session: Session, **options: Any) -> Any:
        """The client's end of a socket that a reactor serves with ``session``."""
        if self.reactor is None:
            self.reactor = Reactor(self.dispatch, **options)
            await run_reactor(nursery, self.reactor)
        return await serve_pair(nursery, self.reactor, session)

    def advance(self, seconds: float) -> None:
        """Let time pass: timers ring, messages come due."""
        self.now += round(seconds * SECOND)
        self.timers.run_due()
        self.broker.expire(self.now)
        self.end_tick()

    async def authorize(self, client: Client) -> None:
        self.asked.append(client.secret)
        verdict = self.verdicts.pop(0)
        client.permissions, client.auth_failure = None, ""
        if isinstance(verdict, Exception):
            client.auth_failure = str(verdict)
        else:
            client.permissions = parse_permissions(verdict, self.time())

    def session(self, address: str = "1.2.3.4:5") -> Session:
        return open_session(self.services, WALL, self.ended.append, Peer(address))

    def connect(self, *commands: bytes, address: str = "1.2.3.4:5") -> "Talk":
        """A client that has sent its magic and ``commands``."""
        talk = Talk(self, self.session(address))
        talk.send(b"  V2", *commands)
        self.talks.append(talk)
        return talk

    def publish(self, topic: str, *bodies: bytes) -> None:
        """Queue and deliver messages, as HTTP would."""
        publish(self.broker, topic, list(bodies), self.time())
        self.end_tick()

    def permissions(self, **allowed: Any) -> Permissions:
        return parse_permissions(grant(**allowed), self.time())


@define(eq=False)
class Talk:
    """One client. ``effect`` is what its session has asked for."""

    world: World
    session: Session
    effect: Effect | None = None
    frames: FrameParser = field(factory=FrameParser)

    @property
    def client(self) -> Client:
        return self.session.client

    def send(self, *parts: bytes) -> list[Answer]:
        """What comes back for one chunk of bytes."""
        assert self.effect is None, self.effect
        self.effect = self.session.received(b"".join(parts))
        self.world.end_tick()
        return self.taken()

    async def go_on(self) -> list[Answer]:
        """What comes back once what the session waits for is there."""
        assert isinstance(self.effect, Wait)
        await self.effect.run()
        self.effect = self.effect.resume()
        self.world.end_tick()
        return self.taken()

    def taken(self) -> list[Answer]:
        """What has come since the last look."""
        return readable(self.frames.feed(self.session.outbox.take()))

    def hang_up(self) -> None:
        """The connection is gone."""
        self.session.closed(None)
        self.world.end_tick()


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    """Makes a `World` with the given settings, each in a directory of its own."""
    made: list[World] = []

    def make(**options: Any) -> World:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(World(directory, **options))
        return made[-1]

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A `World` with default settings."""
    return make_world()


@define(eq=False)
class Wire:
    """A client at the other end of a stream."""

    stream: Any
    frames: FrameParser = field(factory=FrameParser)
    waiting: list[Answer] = field(factory=list)

    async def send(self, *parts: bytes) -> "Wire":
        await self.stream.send_all(b"".join(parts))
        return self

    async def next(self) -> Answer:
        """The next answer; EOFError at the end."""
        while not self.waiting:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError
            self.waiting = readable(self.frames.feed(bytes(data)))
        return self.waiting.pop(0)

    async def many(self, count: int) -> list[Answer]:
        """The next ``count`` answers."""
        return [await self.next() for _ in range(count)]

    async def rest(self) -> list[Answer]:
        """Everything up to the end."""
        found = []
        try:
            while True:
                found.append(await self.next())
        except EOFError:
            return found


@pytest.fixture
async def trio_world(make_world: Callable[..., World], nursery: trio.Nursery) -> World:
    """A `World` by trio's clock, whose timers run."""
    world = make_world(clock=lambda: round(trio.current_time() * SECOND))
    nursery.start_soon(world.timers.run)
    return world


@pytest.fixture
def join(trio_world: World, nursery: trio.Nursery) -> Callable[[], Wire]:
    """Connects clients to `trio_world` by sockets; their magic is sent."""

    async def connect() -> Wire:
        stream = await trio_world.serve(nursery, trio_world.session())
        return await Wire(stream).send(b"  V2")

    return connect
