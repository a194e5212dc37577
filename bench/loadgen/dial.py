"""Consumers that come and go: connect, IDENTIFY, SUB, close, and again, several at a time."""

import select
import socket
import time
from typing import Any

from attrs import frozen

from bench.loadgen.link import address
from bench.loadgen.wire import (
    MAGIC,
    LoadError,
    count_acknowledged,
    identify,
    subscribe_command,
    take_frames,
)

GIVE_UP_AFTER = 30.0  # seconds in which nobody is answered


@frozen(kw_only=True)
class DialJob:
    """How many consumers of one channel are under way at a time, and for how long."""

    server: str
    topic: str
    channel: str
    connections: int = 8
    seconds: float = 1.0


def dial(job: DialJob) -> dict[str, Any]:
    """Run the job; the result says how many subscribed in what time."""
    where = address(job.server)
    greeting = MAGIC + identify("bench-dial") + subscribe_command(job.topic, job.channel)
    epoll = select.epoll()
    under_way: dict[int, tuple[socket.socket, bytes]] = {}

    def begin() -> None:
        sock = socket.create_connection(where)  # loopback: at once
        sock.sendall(greeting)
        epoll.register(sock, select.EPOLLIN)
        under_way[sock.fileno()] = sock, b""

    start = now = time.monotonic()
    for _ in range(job.connections):
        begin()
    count = 0
    while under_way:
        for fd, _ in epoll.poll(1.0):
            sock, answers = under_way[fd]
            data = sock.recv(65536)
            if not data:
                raise LoadError("connection closed by the server")
            frames, _ = take_frames(answers + data)
            if count_acknowledged(frames)[0] < 2:
                under_way[fd] = sock, answers + data
                continue
            del under_way[fd]
            sock.close()
            count += 1
            now = time.monotonic()
            if now - start < job.seconds:
                begin()
        if time.monotonic() - now > GIVE_UP_AFTER:
            raise LoadError(f"{len(under_way)} consumers are not answered")
    seconds = max(now - start, 1e-9)
    return {"count": count, "seconds": seconds, "rate": count / seconds}
