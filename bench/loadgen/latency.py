"""Latency: one process publishes at a steady rate and consumes, so both times come from one clock.

The body carries the message's number. ``sent[i]`` is taken just before the send, so that a
publisher that is late itself does not count against the server; how late it was is reported beside.
"""

import select
import time
from typing import Any

from attrs import define, field, frozen

from bench.loadgen.link import Link, Links, address
from bench.loadgen.publish import acknowledged
from bench.loadgen.wire import (
    BODY_AT,
    ERROR,
    HEARTBEAT,
    MESSAGE,
    NOP,
    U32,
    U64,
    LoadError,
    identify,
    ready_command,
    subscribe_command,
    take_frames,
)

WARM_UP = 0.5  # seconds whose messages are not counted
DRAIN = 3.0  # seconds to wait for the last messages; the original holds some for 0.25
BODY_IN_PAYLOAD = BODY_AT - 8


@frozen(kw_only=True)
class LatencyJob:
    """What to measure; ``buffered`` False asks nsqd not to hold messages back."""

    server: str
    topic: str
    channel: str
    rate: float = 100.0
    seconds: float = 3.0
    size: int = 200
    ready: int = 100
    buffered: bool = True


def percentile(ordered: list[int], fraction: float) -> float:
    """The value in milliseconds below which ``fraction`` of the nanoseconds in ``ordered`` lie."""
    if not ordered:
        return float("nan")
    return ordered[round(fraction * (len(ordered) - 1))] / 1e6


@define(eq=False)
class Exchange:
    """One publisher, one consumer, and when each message was sent, acknowledged and received."""

    job: LatencyJob
    publisher: Link
    consumer: Link
    sent: list[int] = field(factory=list)
    acked: list[int] = field(factory=list)
    received: dict[int, int] = field(factory=dict)
    twice: int = 0

    def send(self, count: int) -> None:
        """Publish the next ``count`` messages."""
        padding = b"\0" * (self.job.size - U64.size)
        head = b"PUB %s\n" % self.job.topic.encode() + U32.pack(self.job.size)
        for _ in range(count):
            command = head + U64.pack(len(self.sent)) + padding
            self.sent.append(time.monotonic_ns())
            self.publisher.send(command)

    def read(self, ready: list[Link]) -> None:
        """Note what arrived."""
        if self.consumer in ready:
            self._read_messages()
        if self.publisher in ready:
            self.acked += [time.monotonic_ns()] * acknowledged(self.publisher)

    def _read_messages(self) -> None:
        data = self.consumer.receive(1 << 18)
        now = time.monotonic_ns()
        frames, self.consumer.tail = take_frames(self.consumer.tail + data)
        finished = []
        for kind, payload in frames:
            if kind == MESSAGE:
                (number,) = U64.unpack_from(payload, BODY_IN_PAYLOAD)
                self.twice += number in self.received
                self.received.setdefault(number, now)
                finished.append(b"FIN " + payload[10:26] + b"\n")
            elif kind == ERROR:
                raise LoadError(f"the server answered {payload[:80]!r}")
            elif payload == HEARTBEAT:
                self.consumer.send(NOP)
        if finished:
            self.consumer.send(b"".join(finished))

    @property
    def complete(self) -> bool:
        """Whether all that was sent came back and was acknowledged."""
        return len(self.received) == len(self.acked) == len(self.sent)


def connect(links: Links, job: LatencyJob) -> Exchange:
    """The two connections, the consumer ready for messages."""
    where = address(job.server)
    off = None if job.buffered else -1
    hello = identify("bench-latency", output_buffer_size=off, output_buffer_timeout=off)
    hello += subscribe_command(job.topic, job.channel)
    consumer = links.connect(where, hello, answers=2)
    consumer.send(ready_command(job.ready))
    publisher = links.connect(where, identify("bench-latency-publisher"), answers=1)
    return Exchange(job, publisher, consumer)


def measure_latency(job: LatencyJob) -> dict[str, Any]:
    """Run the job; times from publishing to receiving, in milliseconds."""
    links = Links()
    exchange = connect(links, job)
    total = int((WARM_UP + job.seconds) * job.rate)
    period = 1e9 / job.rate
    start = time.monotonic_ns() + 50_000_000  # the consumer's RDY has arrived by then
    latest = 0
    pair = {link.sock: link for link in (exchange.consumer, exchange.publisher)}
    while len(exchange.sent) < total or not exchange.complete:
        now = time.monotonic_ns()
        due = min(total, max(0, int((now - start) / period) + 1)) if now >= start else 0
        if due > len(exchange.sent):
            latest = max(latest, now - start - int(len(exchange.sent) * period))
            exchange.send(due - len(exchange.sent))
        if now > start + total * period + DRAIN * 1e9:
            break
        wait = 0.2 if due >= total else (start + len(exchange.sent) * period - now) / 1e9
        # epoll sleeps whole milliseconds; select is finer
        readable, _, _ = select.select(list(pair), [], [], max(0.0, wait))
        exchange.read([pair[sock] for sock in readable])
    links.close()
    return {**summary(exchange, latest), "seconds": (time.monotonic_ns() - start) / 1e9}


def summary(exchange: Exchange, latest: int) -> dict[str, Any]:
    """Percentiles of an exchange that is over."""
    warm = int(WARM_UP * exchange.job.rate)
    times = sorted(at - exchange.sent[n] for n, at in exchange.received.items() if n >= warm)
    pairs = zip(exchange.acked[warm:], exchange.sent[warm:], strict=False)
    answers = sorted(answered - asked for answered, asked in pairs)
    return {
        "sent": len(exchange.sent),
        "lost": len(exchange.sent) - len(exchange.received),
        "twice": exchange.twice,
        "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
        "max": percentile(times, 1.0),
        "ack_p50": percentile(answers, 0.5),
        "ack_p99": percentile(answers, 0.99),
        "sender_late_max": latest / 1e6,
    }
