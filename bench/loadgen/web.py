"""HTTP load: keep-alive connections that send one request, read the answer, send the next.

The answer's end is found by its Content-Length, as both implementations send it.
"""

import re
import select
import socket
import time
from typing import Any

from attrs import define, frozen

from bench.loadgen.latency import percentile
from bench.loadgen.link import address
from bench.loadgen.wire import LoadError

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@frozen(kw_only=True)
class WebJob:
    """What to ask: a GET, or a POST of ``lines`` messages of ``size`` bytes.

    ``path`` may hold `{n}`, which takes the values below ``variants`` in turn.
    """

    server: str
    path: str
    size: int = 0
    lines: int = 1
    variants: int = 1
    connections: int = 16
    seconds: float = 1.0

    def requests(self) -> list[bytes]:
        """The bytes of each request."""
        method = "POST" if self.size else "GET"
        body = "\n".join(["x" * self.size] * self.lines)
        heads = f"Host: {self.server}\r\nContent-Length: {len(body)}\r\n\r\n"
        paths = [self.path.replace("{n}", str(n)) for n in range(self.variants)]
        return [f"{method} {path} HTTP/1.1\r\n{heads}{body}".encode() for path in paths]


@define(eq=False)
class Browser:
    """One connection and the answer that is coming in on it."""

    sock: socket.socket
    asked: int = 0
    data: bytes = b""

    def answered(self) -> bool:
        """Read; whether the answer is complete. Anything but 200 is an error."""
        more = self.sock.recv(65536)
        if not more:
            raise LoadError("connection closed by the server")
        self.data += more
        head, blank, body = self.data.partition(b"\r\n\r\n")
        if not blank:
            return False
        length = LENGTH.search(head)
        if b" 200 " not in head[:16] or length is None:
            raise LoadError(f"the server answered {head[:120]!r}")
        if len(body) < int(length[1]):
            return False
        self.data = b""
        return True


def browse(job: WebJob) -> dict[str, Any]:
    """Run the job; requests per second and how long they took, in milliseconds."""
    requests = job.requests()
    epoll = select.epoll()
    browsers = {}
    for _ in range(job.connections):
        sock = socket.create_connection(address(job.server), 20.0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        browsers[sock.fileno()] = Browser(sock)
        epoll.register(sock, select.EPOLLIN)
    start = time.monotonic_ns()
    end = start + int(job.seconds * 1e9)
    times: list[int] = []
    asked = 0
    for browser in browsers.values():
        browser.asked = time.monotonic_ns()
        browser.sock.sendall(requests[asked % len(requests)])
        asked += 1
    while len(times) < asked:
        for fd, _ in epoll.poll(1.0):
            browser = browsers[fd]
            if not browser.answered():
                continue
            now = time.monotonic_ns()
            times.append(now - browser.asked)
            if now < end:
                browser.asked = now
                browser.sock.sendall(requests[asked % len(requests)])
                asked += 1
    seconds = (time.monotonic_ns() - start) / 1e9
    for browser in browsers.values():
        browser.sock.close()
    times.sort()
    return {
        "count": len(times),
        "seconds": seconds,
        "rate": len(times) / seconds,
        "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
    }
