"""Draining: publishes are refused, consumers empty the queues, then nsqd stops."""

import logging
from collections.abc import Callable
from typing import Any

from nsqcore.app.service import Process
from nsqcore.classes import define
from nsqcore.units import MS
from nsqd.engine.broker import Broker
from nsqd.engine.topic import Topic

logger = logging.getLogger(__name__)

# How often a draining nsqd looks whether consumers are done, in ns.
INTERVAL = 100 * MS


def _nothing() -> None:
    """Nobody wants to know."""


@define(eq=False, repr=False)
class Drain:
    """The drain of one nsqd; ``call_at`` calls a function at a time of the clock ``now`` (ns).

    ``begun`` is called when it begins.
    """

    process: Process
    broker: Broker
    now: Callable[[], int]
    call_at: Callable[[int, Callable[[], None]], Any]
    begun: Callable[[], None] = _nothing

    @property
    def active(self) -> bool:
        """Whether publishes are refused."""
        return self.broker.draining

    def is_active(self) -> bool:
        """`active`, as a function."""
        return self.broker.draining

    def begin(self) -> None:
        """Refuse publishes from now on, and stop once consumers have emptied the queues."""
        if self.active or self.process.shutdown.is_set():
            return
        self.broker.draining = True
        logger.info("NSQ: draining")
        self.process.status("draining")
        self.begun()
        self._look()

    def _look(self) -> None:
        topics = self.broker.topics.values()
        try:
            busy = any(_has_work(topic) for topic in topics)
        except Exception:  # a drain that never ended would refuse publishes for ever
            logger.exception("NSQ: failed to look whether it is drained")
            busy = True
        if busy:
            self.call_at(self.now() + INTERVAL, self._look)
            return
        left = sum(_left(topic) for topic in topics)
        logger.info("NSQ: drained, %d messages without a consumer stay on disk", left)
        self.process.shutdown.set()


def _has_work(topic: Topic) -> bool:
    """Whether consumers still have something to do for ``topic``."""
    # what is paused goes nowhere, however long one waits
    arriving = topic.depth and not topic.paused
    return any(
        channel.consumers
        and (
            channel.in_flight_count
            or (not channel.paused and (arriving or channel.depth or channel.deferred_count))
        )
        for channel in topic.channels.values()
    )


def _left(topic: Topic) -> int:
    return topic.depth + sum(channel.depth for channel in topic.channels.values())
