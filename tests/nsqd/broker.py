"""Brokers for tests, on the real disk queues; and publishing that tells at once how it went."""

from nsqd.engine.broker import Broker, EngineSettings
from nsqd.engine.rules import Rules
from nsqd.engine.topic import Topic
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.queues.tiered import TieredStorage


def open_broker(
    store: DiskStore, wall_offset: int = 0, *, node_id: int = 0, ids_after: int = 0, **rules: int
) -> Broker:
    """A broker on the queues of ``store``; ``rules`` are rules for all topics and channels."""
    settings = EngineSettings(node_id=node_id, rules=Rules(**rules))
    return Broker(settings, TieredStorage(store), wall_offset, ids_after=ids_after)


def publish(
    broker: Broker, topic: str, bodies: list[bytes], now: int = 0, *, delay: int = 0
) -> Topic:
    """Publish as one tick does it. Raises OSError with what the publisher would be told.

    A topic that is not open yet has not answered, nor has one that waits for a sync.
    """
    told: list[str | None] = []
    broker.publish(topic, bodies, now, told.append, delay=delay)
    broker.flush(now)
    for failure in told:
        if failure is not None:
            raise OSError(failure)
    owner = broker.topics[topic]
    # until then it is not answered
    assert len(told) == owner.is_open or topic in broker.storage.owed
    return owner
