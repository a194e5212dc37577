"""Dead letters of durable topics, and their way back: one copy after any crash."""

import pytest
from tests.nsqd.engine.conftest import new_client
from tests.nsqd.engine.test_policy import set_policy
from tests.nsqd.storage.durable.test_moves import bodies, publish, start, tick

from nsqcore.wire.headers import decode_headers, encode_headers, split_record, with_block
from nsqd.engine.departures import Death
from nsqd.engine.redrive import Redrive
from nsqd.storage.durable.topics.queue import attempts_of

SECOND = 1_000_000_000


def deliver(broker, count=10):
    client = new_client(ready=count).join(broker)
    broker.dispatch(0)
    return client


def fail(broker, client):
    for id in list(client.consumer.in_flight):
        client.channel.requeue(client.consumer, [id], 0, 0)


def letters(broker, topic="t.dead", channel="look"):
    """Body and headers of each message of a channel, by taking it."""
    queue = broker.create_channel(topic, channel).queue
    return [
        (split_record(record)[0], decode_headers(split_record(record)[1]))
        for record in queue.take(100)
    ]


def redrive(broker, *, to_topic=False):
    """Send back all that is in the dead-letter topic; what came of it, before it is kept."""
    source = broker.create_channel("t.dead", "redrive")
    run = Redrive(broker.publisher, source, to_topic)
    run.send(source.queue.take(100), 1)
    return run


@pytest.fixture
def broker(tmp_path):
    broker = start(tmp_path)
    broker.create_channel("t", "c")
    set_policy(broker, "t:c", max_attempts=1)
    return broker


def kill_one(broker, *messages):
    publish(broker, "t", *messages)
    client = deliver(broker)
    client.consumer.ready = 0
    fail(broker, client)
    broker.dispatch(0)
    return client


def test_a_dead_letter_tells_where_when_and_of_what_it_died(broker):
    client = kill_one(broker, b"x")
    tick(broker)
    ((body, headers),) = letters(broker)
    assert body == b"x"
    (id,) = client.ids()
    assert headers == {
        "nsq-dead-topic": "t",
        "nsq-dead-channel": "c",
        "nsq-dead-reason": "attempts",
        "nsq-dead-attempts": "1",
        "nsq-dead-id": id.decode(),
        "nsq-dead-first": "0",
        "nsq-dead-last": "0",
    }


@pytest.mark.parametrize("moved", [False, True])
def test_after_a_crash_there_is_one_copy(broker, tmp_path, moved):
    kill_one(broker, b"x", b"y")
    if moved:
        tick(broker)
    broker = start(tmp_path)
    assert bodies(broker, "t", "c") == ([] if moved else [b"x", b"y"])
    found = [body for body, _ in letters(broker)] if "t.dead" in broker.topics else []
    assert found == ([b"x", b"y"] if moved else [])


def test_a_checkpoint_over_a_move_loses_nothing(broker, tmp_path):
    client = kill_one(broker, b"x")
    store, storage = broker.storage.store, broker.storage
    client.channel.departures.part([], Death.TERMINATED)

    def held(log):
        return storage.held(log, lambda _t, _c: iter(client.channel.departures.leaving.values()))

    checkpoint = store.snapshot(held)
    checkpoint.run()
    store.checkpointed(checkpoint, None)
    broker = start(tmp_path)
    assert bodies(broker, "t", "c") == [b"x"]


def test_headers_of_publishers_come_with_the_message_and_stay_with_the_dead(broker):
    told = []
    tail = with_block(b"x", encode_headers({"trace": "1", "user": "é"}))
    broker.publish_headed("t", [tail], 0, told.append)
    tick(broker)
    assert told == [None]
    client = deliver(broker)
    client.channel.terminate(client.consumer, [next(iter(client.consumer.in_flight))], "bad order")
    broker.dispatch(0)
    tick(broker)
    ((body, headers),) = letters(broker)
    assert (body, headers["trace"], headers["user"]) == (b"x", "1", "é")
    assert (headers["nsq-dead-reason"], headers["nsq-dead-error"]) == ("terminated", "bad order")


def test_a_topic_that_is_not_durable_keeps_the_body_alone(tmp_path):
    broker = start(tmp_path, "none")
    told = []
    broker.publish_headed("t", [with_block(b"x", encode_headers({"a": "b"}))], 0, told.append)
    broker.dispatch(0)
    assert told == [None]
    channel = broker.create_channel("t", "c")
    broker.dispatch(0)
    assert [record[26:] for record in channel.queue.take(5)] == [b"x"]


def test_dead_letters_of_a_durable_topic_are_durable(tmp_path):
    broker = start(tmp_path, "none")
    set_policy(broker, "t", durability="always", max_attempts=1)
    broker.create_channel("t", "c")
    kill_one(broker, b"x")
    tick(broker)
    assert broker.topics["t.dead"].log.promise == "always"
    ((_, headers),) = letters(broker)
    assert headers["nsq-dead-channel"] == "c"


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("killed", [False, True])
def test_a_redriven_message_is_in_its_channel_and_nowhere_else(broker, tmp_path, kept, killed):
    other = broker.create_channel("t", "other")
    kill_one(broker, b"x", b"y")
    tick(broker)
    assert other.queue.depth == 2
    run = redrive(broker)
    if kept:
        tick(broker)
        assert run.result.moved == 2
    if killed:
        broker = start(tmp_path)
    elif not kept:
        tick(broker)
        kept = True
    at_home = broker.create_channel("t", "c").queue.take(9)
    assert [split_record(record)[0] for record in at_home] == ([b"x", b"y"] if kept else [])
    assert len(letters(broker, channel="redrive")) == (0 if kept else 2)
    assert len(bodies(broker, "t", "other")) == 2


def test_a_redriven_message_begins_anew_and_remembers_its_first_death(broker):
    kill_one(broker, b"x")
    tick(broker)
    redrive(broker)
    tick(broker)
    client = deliver(broker)
    broker.dispatch(0)
    (record,) = client.consumer.in_flight.values()
    assert record[8:10] == b"\x80\x01"
    fail(broker, client)
    broker.dispatch(5 * SECOND)
    tick(broker)
    ((_, headers),) = letters(broker, channel="redrive")
    assert (headers["nsq-dead-first"], headers["nsq-dead-last"]) == ("0", str(5 * SECOND))


def test_where_its_channel_is_gone_a_message_stays(broker):
    kill_one(broker, b"x")
    tick(broker)
    topic = broker.topics["t"]
    broker.delete_channel(topic, topic.channels["c"])
    run = redrive(broker)
    tick(broker)
    assert (run.result.moved, run.result.kept) == (0, {"t:c is not there any more": 1})
    assert [body for body, _ in letters(broker, channel="redrive")] == [b"x"]


def test_to_the_topic_it_goes_to_all_channels(broker):
    broker.create_channel("t", "other")
    kill_one(broker, b"x")
    tick(broker)
    bodies(broker, "t", "other")
    run = redrive(broker, to_topic=True)
    tick(broker)
    assert run.result.moved == 1
    for channel in ("c", "other"):
        queue = broker.topics["t"].channels[channel].queue
        assert [split_record(record)[0] for record in queue.take(9)] == [b"x"]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("memory", [1, 1000])
def test_what_is_too_old_leaves_though_nobody_consumes_it(tmp_path, memory, killed):
    broker = start(tmp_path)
    channel = broker.create_channel("t", "c")
    channel.queue.memory_limit = memory
    for number in range(20):
        publish(broker, "t", b"%d" % number)
    if killed:
        broker = start(tmp_path)
        channel = broker.topics["t"].channels["c"]
        channel.queue.memory_limit = memory
    set_policy(broker, "t:c", message_ttl="10s")
    broker.dispatch(0)
    assert channel.queue.oldest() == 0
    for now in range(1, 15):
        broker.expire(now * SECOND)
        broker.dispatch(now * SECOND)
        tick(broker)
        assert channel.depth == (20 if now <= 9 else 0)
    assert channel.departures.deaths.expired == 20
    if killed:
        broker = start(tmp_path)
    found = letters(broker)
    assert [int(body) for body, _ in found] == list(range(20))
    assert {headers["nsq-dead-reason"] for _, headers in found} == {"expired"}
    assert {headers["nsq-dead-attempts"] for _, headers in found} == {"0"}


def test_headers_do_not_count_as_deliveries_after_a_crash(broker, tmp_path):
    """The mark of headers is in the field of the attempts."""
    broker.create_channel("t", "c")
    tail = with_block(b"x", encode_headers({"a": "1"}))
    broker.publish_headed("t", [tail], 0, lambda failure: None)
    tick(broker)
    queue = broker.topics["t"].channels["c"].queue
    assert [attempts_of(record) for record in queue.take(9)] == [1]
    tick(broker)
    queue = start(tmp_path).topics["t"].channels["c"].queue
    assert [attempts_of(record) for record in queue.take(9)] == [2]
