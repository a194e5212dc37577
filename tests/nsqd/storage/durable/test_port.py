"""What stays of a durable topic or channel that is deleted: nothing, with the collector off."""

import gc

import pytest

from nsqd.engine.broker import Broker, EngineSettings
from nsqd.engine.rules import Rules
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.durable.port import DurableQueue, DurableStorage
from nsqd.storage.durable.store import DurableStore
from nsqd.storage.durable.topics.queue import LogQueue
from nsqd.storage.durable.topics.topic import DurableTopic
from nsqd.storage.files.durable_disk import OsDisk
from nsqd.storage.queues.tiered import TieredStorage

KINDS = (DurableTopic, DurableQueue, LogQueue)


def count() -> dict[type, int]:
    living = gc.get_objects()
    return {kind: sum(type(each) is kind for each in living) for kind in KINDS}


@pytest.fixture
def broker(tmp_path):
    store = DurableStore(OsDisk(), str(tmp_path / "durable"), file_size=1 << 16)
    plain = TieredStorage(DiskStore(str(tmp_path), warn=print))
    storage = DurableStorage(plain, store, lambda: 0, store.prepare)
    broker = Broker(EngineSettings(rules=Rules(durability="always")), storage, 0)
    gc.collect()
    gc.disable()
    yield broker
    gc.enable()


@pytest.mark.parametrize("which", ["topic", "channel", "the channel of a topic"])
def test_what_is_deleted_of_a_durable_topic_is_gone_with_all_its_parts(broker, which):
    store = broker.storage.store
    broker.create_topic("stays")
    before = count()
    for number in range(5):
        topic, channel = ("stays", f"c{number}") if which == "channel" else (f"t{number}", "c")
        if which != "topic":
            broker.create_channel(topic, channel)
        broker.publish(topic, [b"x"] * 9, 0, lambda error: None)
        broker.flush(0)
        store.end_tick(0)
        found = broker.topics[topic]
        assert found.durable
        if which == "channel":
            broker.delete_channel(found, found.channels[channel])
        else:
            broker.delete_topic(found)
        store.end_tick(0)
        del found
    assert count() == before
