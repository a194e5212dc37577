"""An nsqlookupd for tests of clients: real HTTP on a loopback port, answers as told."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream
from attrs import Factory, define

Answer = bytes | Callable[[], Awaitable[bytes]]


@define(eq=False)
class FakeLookupd:
    """``answers`` maps a request target to a body, or to what waits for one.

    Others get ``default``, and 404 without one. With ``raw`` every request gets that, and the
    end of the connection.
    """

    address: str
    answers: dict[str, Answer] = Factory(dict)
    default: Answer | None = None
    raw: bytes | None = None
    asked: list[str] = Factory(list)
    heads: list[bytes] = Factory(list)

    def knows(self, topic: str, *nsqds: str) -> None:
        """Answer lookups of ``topic`` with ``nsqds`` (``host:port``)."""
        producers = [
            {"broadcast_address": host, "tcp_port": int(port), "http_port": 1}
            for host, _, port in (nsqd.rpartition(":") for nsqd in nsqds)
        ]
        body = json.dumps({"channels": [], "producers": producers})
        self.answers[f"/lookup?topic={topic}"] = body.encode()

    async def serve(self, stream: SocketStream) -> None:
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
                    status, body = b"200 OK", self.answers.get(target, self.default)
                    if body is None:
                        status, body = b"404 Not Found", b'{"message":"TOPIC_NOT_FOUND"}'
                    elif not isinstance(body, bytes):
                        body = await body()
                    length = b"%d" % len(body)
                    await stream.send(
                        b"HTTP/1.1 "
                        + status
                        + b"\r\nContent-Length: "
                        + length
                        + b"\r\n\r\n"
                        + body
                    )
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


@asynccontextmanager
async def fake_lookupd() -> AsyncIterator[FakeLookupd]:
    """An nsqlookupd that lives as long as the block."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener,
        anyio.create_task_group() as tasks,
    ):
        port = listener.extra(SocketAttribute.local_port)
        lookupd = FakeLookupd(f"127.0.0.1:{port}")
        tasks.start_soon(listener.serve, lookupd.serve)
        yield lookupd
        tasks.cancel_scope.cancel()
