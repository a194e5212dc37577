"""A crowd of consumers that get nothing but heartbeats, and answer them.

Prints `READY {…}` when all are subscribed, then stays until the time is over or SIGTERM comes.
"""

import json
import signal
import time
from typing import Any

from attrs import frozen

from bench.loadgen.link import Links, address
from bench.loadgen.wire import HEARTBEAT, NOP, identify, subscribe_command, take_frames


@frozen(kw_only=True)
class IdleJob:
    """How many consumers of one channel, how often their heartbeat comes."""

    server: str
    topic: str
    channel: str
    connections: int = 1000
    heartbeat_ms: int = 1000
    seconds: float = 60.0


def answer_heartbeats(links: Links, timeout: float) -> int:
    """Read what came within ``timeout`` and answer it; the number of heartbeats."""
    beats = 0
    for link in links.readable(timeout):
        frames, link.tail = take_frames(link.tail + link.receive())
        mine = sum(payload == HEARTBEAT for _, payload in frames)
        link.done += mine
        beats += mine
        link.send(NOP * mine)
    return beats


def idle(job: IdleJob) -> dict[str, Any]:
    """Run the job; the result says whether everybody stayed connected and was looked after."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    links = Links()
    where = address(job.server)
    subscribe = subscribe_command(job.topic, job.channel) + b"RDY 1\n"
    start = time.monotonic()
    for number in range(job.connections):
        hello = identify(f"bench-idle-{number}", heartbeat_interval=job.heartbeat_ms)
        links.connect(where, hello + subscribe, answers=2)
        if number % 100 == 0:
            answer_heartbeats(links, 0)
    ready = time.monotonic()
    print("READY", json.dumps({"rate": job.connections / (ready - start)}), flush=True)
    beats = 0
    while not stop and time.monotonic() < ready + job.seconds:
        beats += answer_heartbeats(links, 0.1)
    return {
        "heartbeats": beats / (time.monotonic() - ready),
        "silent": sum(not link.done for link in links),
    }
