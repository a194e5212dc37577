"""An nsqd's HTTP API in one process: real broker, real sessions, no sockets."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define

from nsqcore.app.service import Process
from nsqcore.http.session import HttpSession
from nsqcore.net.effects import Peer, Wait
from nsqcore.operations.lag import LoopLag
from nsqcore.wire.identify import Limits
from nsqd.client.client import ClientSettings, Services
from nsqd.client.session import Session, open_session
from nsqd.config.live_config import live_config
from nsqd.config.options import NsqdOptions
from nsqd.config.settings import nsqd_settings
from nsqd.engine.broker import Broker
from nsqd.http.api import build_router
from nsqd.http.shared.context import NsqdApi, Ports
from nsqd.http.shared.memory import GcWatch
from nsqd.lifecycle.drain import Drain
from nsqd.lifecycle.durability import Durability
from nsqd.lifecycle.readiness import Readiness
from nsqd.lookup.advertised import Advertised
from nsqd.lookup.registrar import LookupRegistrar
from nsqd.metadata.policy_store import PolicyStore
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.durable.journal.committer import Committer
from nsqd.storage.durable.port import DurableStorage
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.files.durable_disk import OsDisk
from nsqd.storage.queues.tiered import TieredStorage

SECOND = 1_000_000_000
WALL = 1_700_000_000 * SECOND  # the wall clock when the monotonic one is 0


@define
class Answer:
    """A response, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """The status and the message of an error."""
        assert self.headers["Content-Type"] == "application/json; charset=utf-8"
        assert self.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"
        assert list(self.json) == ["message"]
        return self.status, self.json["message"]


class NoTimer:
    """A timer that never rings."""

    def cancel(self) -> None:
        pass


@define(eq=False)
class Nsqd:
    """A broker, its API, and what a service would keep; ``time`` is its monotonic clock."""

    broker: Broker
    api: NsqdApi
    time: list[int]
    registrar: LookupRegistrar
    drain: Drain
    lag: LoopLag
    sessions: dict[Session, None]
    durability: Durability
    waits: int = 0  # answers that were not made at once
    effect: object = None

    def start(self, path: str, method: str = "GET", body: bytes = b"") -> HttpSession:
        """A connection over which one request has come."""
        session = HttpSession(build_router(self.api), Peer("127.0.0.1:9"))
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        self.effect = session.received(head.encode() + body)
        return session

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """The answer to one request; then what it stirred up is delivered."""
        session = self.start(path, method, body)
        if isinstance(self.effect, Wait):
            self.waits += 1
            await self.effect.run()
            self.effect.resume()
        self.broker.dispatch(self.time[0])
        return take(session)

    def commit(self) -> None:
        """What the thread of the journal does with what a tick brought."""
        self.durability.store.prepare()
        self.durability.store.end_tick(self.time[0])

    async def get(self, path: str) -> Answer:
        return await self.ask("GET", path)

    async def post(self, path: str, body: bytes = b"") -> Answer:
        return await self.ask("POST", path, body)

    async def put(self, path: str, body: bytes = b"") -> Answer:
        return await self.ask("PUT", path, body)

    async def stats(self, query: str = "") -> Any:
        answer = await self.get(f"/stats?format=json{query}")
        assert answer.status == 200
        return answer.json

    def connect(self, commands: bytes = b"", port: int = 1) -> Session:
        """A V2 client that has sent ``commands``."""
        services = Services(
            broker=self.broker,
            settings=ClientSettings(limits=Limits()),
            now=lambda: self.time[0],
            call_at=lambda when, call: NoTimer(),
            upgrade=unwanted,
            authorize=unwanted,
            request_tick=lambda: None,
        )
        session = open_session(
            services, self.api.wall, lambda session: None, Peer(f"127.0.0.1:{port}")
        )
        self.sessions[session] = None
        session.received(b"  V2" + commands)
        self.broker.dispatch(self.time[0])
        return session


def tick(broker: Broker, store: DurableStore, now: int) -> None:
    """What the end of a tick does."""
    if store.exists:
        store.prepare()
        store.end_tick(now)
    while broker.dispatch(now):
        pass
    if store.exists:
        store.end_tick(now)


def unwanted(_client: object) -> Any:
    raise AssertionError("no I/O in these tests")


def take(session: HttpSession) -> Answer:
    """The one response in the outbox of ``session``."""
    head, _, body = session.outbox.take().partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(body) == int(headers["Content-Length"])
    return Answer(int(first.split()[1]), headers, body)


@pytest.fixture
def make_nsqd(tmp_path) -> Iterator[Callable[..., Nsqd]]:
    """A function that makes an nsqd with the given options."""
    committers: list[Committer] = []

    def make(*, latency=None, directory: Path = tmp_path, **options: Any) -> Nsqd:
        settings = nsqd_settings(NsqdOptions(**{"broadcast_address": "me", **options}))
        time = [5 * SECOND]
        disk = OsDisk()
        store = DurableStore(disk, str(directory / "durable"), file_size=1 << 16)
        committers.append(Committer(disk))
        durability = Durability(store, settings.durability.interval, committers[-1])
        plain = TieredStorage(DiskStore(str(directory), warn=print))
        storage = DurableStorage(plain, store, lambda: WALL, lambda: None)
        broker = Broker(settings.engine, storage, WALL, make_latency=latency)
        advertised = Advertised(settings.advertised, "127.0.0.1", 4150, 4151)
        registrar = LookupRegistrar(advertised.identify, broker.topics, settings.lookup.addresses)
        drain = Drain(Process(), broker, lambda: time[0], lambda when, call: NoTimer())
        lag = LoopLag()
        sessions: dict[Session, None] = {}
        api = NsqdApi(
            broker=broker,
            limits=settings.http,
            config=live_config(settings.config, advertised, broker, registrar, drain),
            info=settings.info,
            address=lambda: advertised.address,
            ports=Ports(tcp=4150, http=4151),
            now=lambda: time[0],
            started=WALL,
            began=0,
            data_path=str(directory),
            sessions=sessions,
            persist=trio.lowlevel.checkpoint,
            has_channels=unwanted,
            draining=drain.is_active,
            loop_lag=lambda: lag.seconds,
            checks=Readiness(broker, lag, drain, registrar).checks,
            gc_watch=GcWatch(),
            policies=PolicyStore(broker.policies, str(directory), settings.policy_file),
            durable=durability.status,
            durability_interval=settings.durability.interval,
            min_free_bytes=settings.min_free_bytes,
            request_tick=lambda: tick(broker, store, time[0]),
        )
        return Nsqd(broker, api, time, registrar, drain, lag, sessions, durability)

    yield make
    for committer in committers:
        committer.stop()


@pytest.fixture
def nsqd(make_nsqd) -> Nsqd:
    """An nsqd with default options."""
    return make_nsqd()
