"""A small HTTP/1.1 server on trio for tests: a function answers, and what it was asked is kept."""

import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import trio

Stream = trio.abc.Stream
Answer = tuple[int, Any]  # status and a JSON value, bytes, or None for an empty body


@attrs.frozen
class Asked:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]


@attrs.define(eq=False)
class FakeServer:
    """Listens while its ``async with`` lasts."""

    answer: Callable[[Asked], Answer]
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = attrs.field(factory=list)
    address: str = ""
    released: trio.Event | None = None  # while there is one, answers wait for it
    connections: int = 0  # that came in, and those that are still open
    open_connections: int = 0

    def paths(self, method: str) -> list[str]:
        """The paths, with their queries in order, that were asked with ``method``."""
        return [
            item.path + "".join(f" {key}={value}" for key, value in item.query.items())
            for item in self.asked
            if item.method == method
        ]

    async def _serve(self, stream: Stream) -> None:
        buffer = b""
        with trio.CancelScope():
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = await stream.receive_some()
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = first.split(" ")
                pairs = (line.partition(":") for line in lines)
                headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
                length = int(headers.get("content-length", "0"))
                while len(buffer) < length:
                    buffer += await stream.receive_some()
                body, buffer = buffer[:length], buffer[length:]
                parts = urlsplit(target)
                query = dict(parse_qsl(parts.query, keep_blank_values=True))
                asked = Asked(method, parts.path, query, body, headers)
                self.asked.append(asked)
                if self.released is not None:
                    await self.released.wait()
                await stream.send_all(_response(*self.answer(asked)))

    async def _connection(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            if self.tls is None:
                await self._serve(stream)
            else:
                await self._serve(trio.SSLStream(stream, self.tls, server_side=True))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.open_connections -= 1
            await trio.aclose_forcefully(stream)


def _response(status: int, content: Any) -> bytes:
    if content is None:
        data = b""
    else:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


@asynccontextmanager
async def fake_server(
    answer: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeServer]:
    """A server on a free port of this machine."""
    server = FakeServer(answer, tls)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        host, port = listeners[0].socket.getsockname()[:2]
        server.address = f"{host}:{port}"
        nursery.start_soon(trio.serve_listeners, server._connection, listeners)
        yield server
        nursery.cancel_scope.cancel()


def age(answer: bytes) -> timedelta:
    """How long ago an answer was given, by its one ``Date`` header."""
    (date,) = re.findall(rb"\r\nDate: ([^\r]+)\r\n", answer)
    return datetime.now(UTC) - parsedate_to_datetime(date.decode())
