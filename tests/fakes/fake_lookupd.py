"""An nsqlookupd for tests: requests on a loopback port, registrations; answers as told."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import trio
from anyio.abc import SocketAttribute, SocketStream
from attrs import Factory, define
from tests.fakes.fake_cluster import LookupdHttp
from tests.fakes.fake_http import Asked

from nsqcore.wire.lookup import (
    OK_REPLY,
    IdentifyProducer,
    LookupParser,
    Ping,
    Register,
    Unregister,
    reply,
)

Answer = bytes | Callable[[], Awaitable[bytes]]


@define(eq=False)
class FakeLookupd(LookupdHttp):
    """One nsqlookupd, asked by HTTP (`serve`) and told by nsqds (`serve_nsqd`).

    ``answers`` maps a request target to a body, or to what waits for one; others get ``default``,
    and without one what `LookupdHttp` knows. With ``raw`` every request gets that, and the end of
    the connection. To nsqds it is ``mute``, or answers all with ``error``, as told.
    """

    name: str = "lk"
    answers: dict[str, Answer] = Factory(dict)
    default: Answer | None = None
    raw: bytes | None = None
    asked: list[str] = Factory(list)
    heads: list[bytes] = Factory(list)
    identities: list[dict[str, Any]] = Factory(list)
    registered: set[tuple[str, str]] = Factory(set)
    pings: int = 0
    mute: bool = False
    refuse: bool = False
    error: bytes = b""
    connections: list[trio.abc.Stream] = Factory(list)

    def knows(self, topic: str, *nsqds: str) -> None:
        """Answer lookups of ``topic`` with ``nsqds`` (``host:port``)."""
        body = json.dumps({"channels": [], "producers": _producers(nsqds)})
        self.answers[f"/lookup?topic={topic}"] = body.encode()

    def has(self, *nsqds: str) -> None:
        """Answer `/nodes` with ``nsqds`` (``host:port``)."""
        self.answers["/nodes"] = json.dumps({"producers": _producers(nsqds)}).encode()

    async def serve(self, stream: SocketStream) -> None:
        """Answer requests of HTTP, under any event loop."""
        try:
            async with stream:
                data = b""
                while True:
                    while b"\r\n\r\n" not in data:
                        data += await stream.receive()
                    head, _, data = data.partition(b"\r\n\r\n")
                    target = head.split(b" ")[1].decode()
                    self.asked.append(target)
                    self.heads.append(head)
                    if self.raw is not None:
                        await stream.send(self.raw)
                        return
                    status, body = 200, self.answers.get(target, self.default)
                    if body is None:
                        parts = urlsplit(target)
                        query = dict(parse_qsl(parts.query, keep_blank_values=True))
                        status, content = self.answer(Asked("GET", parts.path, query, b"", {}))
                        body = json.dumps(content).encode()
                    elif not isinstance(body, bytes):
                        body = await body()
                    head = b"HTTP/1.1 %d Status\r\nContent-Length: %d\r\n\r\n"
                    await stream.send(head % (status, len(body)) + body)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def serve_nsqd(self, stream: trio.abc.Stream) -> None:
        """Take down what an nsqd tells; it is forgotten with its last connection."""
        parser = LookupParser()
        self.connections.append(stream)
        try:
            async for data in stream:
                for command in parser.feed(bytes(data)):
                    answer = self.told(command)
                    if not self.mute:
                        await stream.send_all(answer)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.connections.remove(stream)
        if not self.connections:
            self.registered.clear()

    def told(self, command: object) -> bytes:
        """Do what a command says; the reply."""
        if self.error:
            return reply(self.error)
        match command:
            case IdentifyProducer(body):
                self.identities.append(json.loads(body))
                fields = {"broadcast_address": self.name, "hostname": self.name}
                more = {"tcp_port": 4160, "http_port": 4161, "version": "1.3.0"}
                return reply(json.dumps(fields | more).encode())
            case Register(topic, channel):
                self.registered.add((topic, channel))
            case Unregister(topic, channel):
                self.registered.discard((topic, channel))
            case Ping():
                self.pings += 1
        return OK_REPLY

    async def forget_all(self) -> None:
        """As if it had been killed."""
        for stream in self.connections:
            await trio.aclose_forcefully(stream)


def _producers(nsqds: Iterable[str]) -> list[dict[str, object]]:
    return [
        {"broadcast_address": host, "tcp_port": int(port), "http_port": 1}
        for host, _, port in (nsqd.rpartition(":") for nsqd in nsqds)
    ]


@asynccontextmanager
async def fake_lookupd() -> AsyncIterator[FakeLookupd]:
    """An nsqlookupd that lives as long as the block."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener,
        anyio.create_task_group() as tasks,
    ):
        port = listener.extra(SocketAttribute.local_port)
        lookupd = FakeLookupd(address=f"127.0.0.1:{port}")
        tasks.start_soon(listener.serve, lookupd.serve)
        yield lookupd
        tasks.cancel_scope.cancel()
