"""What cannot be read is counted, whenever it is found, and stays counted."""

import pytest
from tests.nsqd.storage.durable.test_moves import bodies, publish, start

from nsqcore.metrics.histogram import Histogram
from nsqd.engine.broker import Broker
from nsqd.storage.durable.status import status_of


def damaged(broker: Broker) -> int:
    return status_of(broker.storage.store, Histogram((1.0,)), 0.0).damaged


def killed_and_damaged(path, *, in_journal: bool):
    """The directory of an nsqd with three messages, of which the second has a flipped bit."""
    broker = start(path)
    broker.create_channel("t", "c")
    publish(broker, "t", b"first", b"SECOND", b"third")
    if not in_journal:
        broker.storage.store.close(0, lambda queue: [])
    (segment,) = path.glob("durable/t.t.*/*.log")
    for file in path.glob("durable/journal.*") if in_journal else [segment]:
        data = file.read_bytes().replace(b"SECOND", b"SECONE")
        file.write_bytes(data)


@pytest.mark.parametrize("in_journal", [False, True])
def test_what_is_damaged_at_the_start_is_counted_once_and_for_all(tmp_path, in_journal):
    killed_and_damaged(tmp_path, in_journal=in_journal)
    broker = start(tmp_path)

    assert broker.topics["t"].log.stats().damaged == damaged(broker) == 1
    assert bodies(broker, "t", "c") == [b"first", b"third"]
    assert broker.topics["t"].log.stats().damaged == damaged(broker) == 1
    broker.delete_topic(broker.topics["t"])
    assert damaged(broker) == 1
