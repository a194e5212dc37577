"""Consuming: an answer for every message (FIN, REQ or TERM), sent together for all that one read
brought.

The job ends when ``count`` messages have come, or nothing for a while. Ids are kept while
measuring and compared only afterwards: each message must have come once.
"""

import time
from typing import Any

from attrs import define, field, frozen

from bench.loadgen.link import Link, Links, address
from bench.loadgen.scan import MessageScanner
from bench.loadgen.wire import NOP, LoadError, identify, ready_command, subscribe_command

RECEIVE = 1 << 18  # bytes a read: what a socket's default receive buffer can hold
LARGEST_FRAME = 1 << 21  # bytes; above nsqd's default --max-msg-size of 1 MiB


@frozen(kw_only=True)
class ConsumeJob:
    """What to consume; ``idle`` seconds without a message end the job early.

    ``answer`` is what every message gets: FIN, REQ (at once) or TERM.
    """

    server: str
    topic: str
    channel: str
    count: int
    connections: int = 2
    ready: int = 2500
    idle: float = 5.0
    answer: str = "FIN"

    def answers(self, ids: list[bytes]) -> bytes:
        """The commands for ``ids``."""
        name, end = self.answer.encode(), b" 0\n" if self.answer == "REQ" else b"\n"
        return b"%s " % name + (b"%s%s " % (end, name)).join(ids) + end


@define(eq=False)
class Consumption:
    """What has come so far, over all connections."""

    job: ConsumeJob
    links: Links = field(factory=Links)
    ids: list[bytes] = field(factory=list)
    first: float = 0.0  # when the first message came
    most: float = 0.0  # when 98 % had come; the tail depends on the last buffer's timer
    last: float = 0.0
    _buffer: bytearray = field(factory=lambda: bytearray(RECEIVE + LARGEST_FRAME))
    _scanner: MessageScanner = field(factory=MessageScanner)

    def connect(self) -> None:
        """Subscribe every connection."""
        job = self.job
        for number in range(job.connections):
            asked = True if job.answer == "TERM" else None
            hello = identify(f"bench-consumer-{number}", terminate=asked, feature_negotiation=asked)
            subscribe = subscribe_command(job.topic, job.channel)
            self.links.connect(address(job.server), hello + subscribe, answers=2)

    def read(self, link: Link) -> None:
        """Take what came on ``link`` and answer it."""
        kept = len(link.tail)
        self._buffer[:kept] = link.tail
        try:
            got = link.sock.recv_into(memoryview(self._buffer)[kept : kept + RECEIVE])
        except BlockingIOError:
            return
        if not got:
            raise LoadError("connection closed by the server")
        ids, end = self._scanner.scan(self._buffer, kept + got)
        link.tail = bytes(self._buffer[end : kept + got])
        if self._scanner.heartbeats:
            link.send(NOP * self._scanner.heartbeats)
            self._scanner.heartbeats = 0
        if ids:
            link.send(self.job.answers(ids))
            self._note(link, ids)

    def _note(self, link: Link, ids: list[bytes]) -> None:
        self.last = time.monotonic()
        if not self.ids:
            self.first = self.last
        link.done += len(ids)
        self.ids += ids
        if not self.most and len(self.ids) >= 0.98 * self.job.count:
            self.most = self.last


def consume(job: ConsumeJob) -> dict[str, Any]:
    """Run the job; the result has the rate, how many came twice and how evenly they were shared."""
    state = Consumption(job)
    state.connect()
    start = state.last = time.monotonic()
    for link in state.links:
        link.send(ready_command(job.ready))
    while len(state.ids) < job.count and time.monotonic() - state.last < job.idle:
        for link in state.links.readable(0.05):
            state.read(link)
    finish(state)
    shares = [link.done for link in state.links]
    state.links.close()
    most = 0.98 * job.count / max(state.most - start, 1e-9) if state.most else 0.0
    return {
        "count": len(state.ids),
        "unique": len(set(state.ids)),
        "seconds": state.last - start,
        "rate": most,
        "rate_from_first": 0.98 * job.count / max(state.most - state.first, 1e-9),
        "fairness": min(shares) / max(max(shares), 1),
    }


def finish(state: Consumption) -> None:
    """Let every answer reach the server: CLS is answered after all that was sent before it."""
    for link in state.links:
        link.sock.settimeout(5.0)
        for piece in link.unsent:
            link.sock.sendall(piece)
        link.sock.sendall(b"CLS\n")
    for link in state.links:
        data = link.tail
        while b"CLOSE_WAIT" not in data:
            more = link.sock.recv(RECEIVE)
            if not more:
                break
            data = data[-16:] + more
