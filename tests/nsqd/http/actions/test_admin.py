"""/topic/… and /channel/…."""

import pytest

MISSING_TOPIC = (400, "MISSING_ARG_TOPIC")
NO_TOPIC = (404, "TOPIC_NOT_FOUND")
TOPIC_ACTIONS = ("create", "delete", "empty", "pause", "unpause")
CHANNEL_ACTIONS = ("create", "delete", "empty", "pause", "unpause")


@pytest.fixture
async def busy(nsqd):
    """An nsqd with topic ``t``, its channel ``c`` and three messages there."""
    await nsqd.post("/topic/create?topic=t")
    await nsqd.post("/channel/create?topic=t&channel=c")
    await nsqd.post("/mpub?topic=t", b"1\n2\n3")
    return nsqd


async def test_creating_a_topic_answers_with_nothing(nsqd):
    answer = await nsqd.post("/topic/create?topic=t")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"
    assert (await nsqd.post("/topic/create?topic=t")).status == 200
    assert list(nsqd.broker.topics) == ["t"]


@pytest.mark.parametrize("action", TOPIC_ACTIONS)
async def test_topic_actions_need_a_topic(nsqd, action):
    assert (await nsqd.post(f"/topic/{action}")).refusal == MISSING_TOPIC
    assert (await nsqd.post(f"/topic/{action}?topic=%2")).refusal == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("action", ["delete", "empty", "pause", "unpause"])
async def test_topic_actions_know_no_other_topics(nsqd, action):
    assert (await nsqd.post(f"/topic/{action}?topic=zz")).refusal == NO_TOPIC


@pytest.mark.parametrize("name", ["no%20good", ""])
@pytest.mark.parametrize("action", TOPIC_ACTIONS)
async def test_only_some_topic_actions_check_the_name(nsqd, action, name):
    refusal = (await nsqd.post(f"/topic/{action}?topic={name}")).refusal
    assert refusal == ((400, "INVALID_TOPIC") if action in ("create", "empty") else NO_TOPIC)


async def test_deleted_topic_is_gone_with_its_channels(busy):
    assert (await busy.post("/topic/delete?topic=t")).status == 200
    assert not busy.broker.topics
    assert (await busy.post("/topic/delete?topic=t")).refusal == NO_TOPIC


async def test_emptied_topic_keeps_its_channels_messages(busy):
    await busy.post("/topic/pause?topic=t")
    await busy.post("/pub?topic=t", b"4")
    topic = busy.broker.topics["t"]
    assert (topic.depth, topic.channels["c"].depth) == (1, 3)
    assert (await busy.post("/topic/empty?topic=t")).status == 200
    assert (topic.depth, topic.channels["c"].depth) == (0, 3)


async def test_paused_topic_holds_messages_until_it_is_unpaused(busy):
    channel = busy.broker.topics["t"].channels["c"]
    assert (await busy.post("/topic/pause?topic=t")).status == 200
    await busy.post("/pub?topic=t", b"4")
    assert channel.depth == 3
    assert (await busy.post("/topic/unpause?topic=t")).status == 200
    assert channel.depth == 4


async def test_paused_channel_delivers_once_it_is_unpaused(busy):
    assert (await busy.post("/channel/pause?topic=t&channel=c")).status == 200
    consumer = busy.connect(b"SUB t c\nRDY 9\n")
    assert consumer.client.consumer.message_count == 0
    assert (await busy.post("/channel/unpause?topic=t&channel=c")).status == 200
    assert consumer.client.consumer.message_count == 3


async def test_emptied_channel_has_nothing_left(busy):
    assert (await busy.post("/channel/empty?topic=t&channel=c")).status == 200
    assert busy.broker.topics["t"].channels["c"].depth == 0


async def test_deleted_channel_lets_its_consumers_go(busy):
    consumer = busy.connect(b"SUB t c\nRDY 1\n")
    assert (await busy.post("/channel/delete?topic=t&channel=c")).status == 200
    assert not busy.broker.topics["t"].channels
    assert consumer.outbox.closing is not None


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("", MISSING_TOPIC),
        ("?topic=%24", (400, "INVALID_ARG_TOPIC")),
        ("?topic=%24&channel=%24", (400, "INVALID_ARG_TOPIC")),
        ("?topic=t", (400, "MISSING_ARG_CHANNEL")),
        ("?topic=t&channel=", (400, "INVALID_ARG_CHANNEL")),
        ("?topic=zz&channel=%24", (400, "INVALID_ARG_CHANNEL")),
        ("?topic=zz&channel=c", NO_TOPIC),
    ],
)
@pytest.mark.parametrize("action", CHANNEL_ACTIONS)
async def test_channel_actions_name_the_first_wrong_argument(busy, action, query, refusal):
    assert (await busy.post(f"/channel/{action}{query}")).refusal == refusal
    assert list(busy.broker.topics) == ["t"]


@pytest.mark.parametrize("action", ["delete", "empty", "pause", "unpause"])
async def test_channel_actions_know_no_other_channels(busy, action):
    answer = await busy.post(f"/channel/{action}?topic=t&channel=zz")
    assert answer.refusal == (404, "CHANNEL_NOT_FOUND")


async def test_parameters_are_not_taken_from_the_body(nsqd):
    assert (await nsqd.post("/topic/create", b"topic=form")).refusal == MISSING_TOPIC


async def test_first_of_several_values_counts(nsqd):
    await nsqd.post("/topic/create?topic=one&topic=two")
    assert list(nsqd.broker.topics) == ["one"]


async def test_no_topic_is_created_while_the_broker_closes(nsqd):
    nsqd.broker.closing = True
    assert (await nsqd.post("/topic/create?topic=t")).refusal == (503, "EXITING")
    assert not nsqd.broker.topics


async def test_a_pause_is_answered_once_it_is_written(busy):
    written = []

    async def persist():
        topic = busy.broker.topics["t"]
        written.append((topic.paused, topic.channels["c"].paused))

    busy.api.persist = persist
    await busy.post("/topic/pause?topic=t")
    await busy.post("/channel/pause?topic=t&channel=c")
    await busy.post("/topic/unpause?topic=t")
    assert written == [(True, False), (True, True), (False, True)]


@pytest.mark.parametrize("made", ["topic", "channel"])
async def test_a_topic_is_answered_once_it_has_the_channels_it_has_elsewhere(nsqd, made):
    nsqd.broker.hold_new_topics = True

    async def has_channels(topic):
        nsqd.broker.create_channel(topic.name, "elsewhere")
        nsqd.broker.open_topic(topic)

    nsqd.api.has_channels = has_channels
    if made == "channel":
        nsqd.broker.create_topic("t")
    answer = await nsqd.post(f"/{made}/create?topic=t&channel=c")
    assert answer.status == 200
    assert "elsewhere" in nsqd.broker.topics["t"].channels
