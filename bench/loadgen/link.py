"""One non-blocking connection of the load generator, and the epoll set it lives in.

`Links.connect` shakes hands blocking, then the socket joins the epoll set. What the kernel does not
take at once waits in the link until `Links.readable` finds room.
"""

import select
import socket
from collections.abc import Iterator

from attrs import define, field

from bench.loadgen.wire import MAGIC, LoadError, count_acknowledged, take_frames

CONNECT_TIMEOUT = 20.0  # seconds; 5000 connections at once make a server slow to accept


def address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``."""
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def expect_ok(sock: socket.socket, count: int, tail: bytes = b"") -> bytes:
    """Wait for ``count`` OKs on a blocking socket; returns what came after them."""
    while count > 0:
        data = sock.recv(65536)
        if not data:
            raise LoadError("connection closed by the server")
        frames, tail = take_frames(tail + data)
        acknowledged, _ = count_acknowledged(frames[:count])
        count -= acknowledged
    return tail


@define(eq=False)
class Link:
    """A connection; ``tail`` is input that is no whole frame yet."""

    sock: socket.socket
    epoll: select.epoll
    tail: bytes = b""
    done: int = 0  # messages published or received here
    unsent: list[memoryview] = field(factory=list)

    def send(self, data: bytes) -> None:
        """Send now what the kernel takes, the rest when it has room."""
        if self.unsent:
            self.unsent.append(memoryview(data))
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.unsent.append(memoryview(data)[sent:])
            self.epoll.modify(self.sock, select.EPOLLIN | select.EPOLLOUT)

    def flush(self) -> None:
        """Send more of what was left over."""
        while self.unsent:
            first = self.unsent[0]
            try:
                sent = self.sock.send(first)
            except BlockingIOError:
                return
            if sent < len(first):
                self.unsent[0] = first[sent:]
                return
            self.unsent.pop(0)
        self.epoll.modify(self.sock, select.EPOLLIN)

    def receive(self, size: int = 65536) -> bytes:
        """What has arrived, at most ``size`` bytes; empty when nothing has."""
        try:
            data = self.sock.recv(size)
        except BlockingIOError:
            return b""
        if not data:
            raise LoadError("connection closed by the server")
        return data


@define(eq=False)
class Links:
    """The connections of one job and the epoll set that watches them."""

    epoll: select.epoll = field(factory=select.epoll)
    by_fd: dict[int, Link] = field(factory=dict)

    def connect(self, where: tuple[str, int], greeting: bytes, *, answers: int) -> Link:
        """A new link: magic and ``greeting`` are sent, ``answers`` OKs have come back."""
        sock = socket.create_connection(where, CONNECT_TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(MAGIC + greeting)
        tail = expect_ok(sock, answers)
        sock.setblocking(False)
        link = Link(sock, self.epoll, tail)
        self.epoll.register(sock, select.EPOLLIN)
        self.by_fd[sock.fileno()] = link
        return link

    def readable(self, timeout: float) -> Iterator[Link]:
        """Links with input, after at most ``timeout`` seconds; output goes out on the way."""
        for fd, events in self.epoll.poll(timeout):
            link = self.by_fd[fd]
            if events & select.EPOLLOUT:
                link.flush()
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                yield link

    def close(self) -> None:
        """Close every connection."""
        for link in self.by_fd.values():
            link.sock.close()
        self.epoll.close()

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self.by_fd.values()))
