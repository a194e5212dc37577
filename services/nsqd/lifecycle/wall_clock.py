"""The wall clock: how far it is from the monotonic one, also after it was set."""

import time

import trio

from nsqd.engine.broker import Broker

# Seconds between two looks whether the wall clock was set.
WALL_INTERVAL = 0.5


def wall_offset() -> int:
    """What to add to the monotonic clock to get the wall clock, in ns."""
    return time.time_ns() - time.monotonic_ns()


async def follow_wall_clock(broker: Broker) -> None:
    """Keep the broker's idea of the wall clock right when that is set."""
    while True:
        await trio.sleep(WALL_INTERVAL)
        broker.wall_offset = wall_offset()
