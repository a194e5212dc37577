"""Plays nsqd towards nsqlookupd: registers many topics and stays connected.

Prints `READY {…}` when all is registered, then stays until the time is over or SIGTERM comes.
"""

import json
import select
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from bench.loadgen.link import address
from bench.loadgen.wire import U32, LoadError

AT_ONCE = 100  # commands in one send; nsqlookupd answers each


@frozen(kw_only=True)
class RegisterJob:
    """How many producers register how many topics; the first has the number ``first``."""

    server: str
    topic: str
    topics: int = 1000
    channels: int = 1
    producers: int = 3
    first: int = 0
    seconds: float = 60.0


def producer(number: int) -> bytes:
    """Magic and IDENTIFY of one nsqd."""
    body = json.dumps(
        {
            "version": "1.3.0",
            "tcp_port": 4150 + 2 * number,
            "http_port": 4151 + 2 * number,
            "hostname": f"bench-host-{number}",
            "broadcast_address": "127.0.0.1",
        }
    ).encode()
    return b"  V1IDENTIFY\n" + U32.pack(len(body)) + body


def registrations(job: RegisterJob) -> Iterator[bytes]:
    """One REGISTER per topic and one per channel."""
    for number in range(job.topics):
        yield f"REGISTER {job.topic}_{number}\n".encode()
        for channel in range(job.channels):
            yield f"REGISTER {job.topic}_{number} ch{channel}\n".encode()


def await_answers(sock: socket.socket, count: int) -> None:
    """Read ``count`` answers; they have a size and no type."""
    data = b""
    while count:
        while len(data) >= 4 and len(data) >= 4 + U32.unpack_from(data)[0]:
            end = 4 + U32.unpack_from(data)[0]
            if data[4:6] == b"E_":
                raise LoadError(f"nsqlookupd answered {data[4:end]!r}")
            data = data[end:]
            count -= 1
        if count:
            more = sock.recv(65536)
            if not more:
                raise LoadError("connection closed by nsqlookupd")
            data += more


def register(job: RegisterJob) -> dict[str, Any]:
    """Run the job; the result has the registrations per second."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    commands = list(registrations(job))
    start = time.monotonic()
    socks = []
    for number in range(job.first, job.first + job.producers):
        sock = socket.create_connection(address(job.server), 20.0)
        sock.sendall(producer(number))
        await_answers(sock, 1)
        for first in range(0, len(commands), AT_ONCE):
            part = commands[first : first + AT_ONCE]
            sock.sendall(b"".join(part))
            await_answers(sock, len(part))
        socks.append(sock)
    rate = job.producers * len(commands) / (time.monotonic() - start)
    seconds = time.monotonic() - start
    print("READY", json.dumps({"rate": rate, "seconds": seconds}), flush=True)
    while not stop and time.monotonic() < start + job.seconds:
        select.select([], [], [], 0.05)
    for sock in socks:
        sock.close()
    return {"rate": rate}
