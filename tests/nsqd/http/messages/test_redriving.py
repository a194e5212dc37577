"""POST /message/dead and /message/redrive, as a user asks for them."""

import json
from collections.abc import Callable

import pytest
from attrs import Factory, define
from tests.nsqd.http.conftest import SECOND, NoTimer

from nsqd.lifecycle.clock import EngineClock


@pytest.fixture
def shelf(make_shelf):
    return make_shelf()


async def test_a_chosen_message_is_declared_dead_and_sent_back(shelf):
    await shelf.fill(b"a", b"b", b"c")
    ids = await shelf.ids()
    unknown = "0" * 16
    answer = await shelf.act("dead", [ids["b"], unknown])
    assert answer == {"done": 1, "missing": [unknown]}
    assert await shelf.pages("&channel=c") == ["a", "c"]
    assert await shelf.pages("&state=dead&channel=c") == ["b"]

    answer = await shelf.nsqd.post("/message/redrive?topic=t.dead")
    assert answer.json == {"moved": 1, "left": 0, "channel": "redrive"}
    assert await shelf.pages("&channel=c") == ["a", "c", "b"]


async def test_messages_in_flight_and_deferred_can_be_declared_dead(shelf):
    await shelf.fill(b"held")
    session = shelf.nsqd.connect(b"SUB t c\nRDY 1\n")
    await shelf.nsqd.post("/pub?topic=t&defer=60000", b"later")
    ids = await shelf.ids()
    assert (await shelf.act("dead", list(ids.values())))["done"] == 2
    session.outbox.take()
    session.received(f"FIN {ids['held']}\n".encode())
    assert b"E_FIN_FAILED" in session.outbox.take()
    assert sorted(await shelf.pages("", topic="t.dead")) == ["held", "later"]


async def test_of_a_durable_topic_they_tell_where_they_died(shelf):
    await shelf.make_durable()
    await shelf.fill(b"a", b"b")
    ids = await shelf.ids()
    await shelf.act("dead", [ids["a"]], "&channel=c&reason=looks+odd")
    (letter,) = (await shelf.listed("&body=text", topic="t.dead"))["messages"]
    assert (letter["body"], letter["size"]) == ("a", 1)
    headers = letter["headers"]
    assert (headers["nsq-dead-topic"], headers["nsq-dead-channel"]) == ("t", "c")
    assert (headers["nsq-dead-reason"], headers["nsq-dead-error"]) == ("terminated", "looks odd")
    answer = await shelf.nsqd.post("/message/redrive?topic=t.dead")
    assert (answer.json["moved"], answer.json["left"]) == (1, 0)
    assert await shelf.pages("&channel=c") == ["b", "a"]


async def test_some_are_redriven_by_number_or_by_id(shelf):
    await shelf.fill(b"a", b"b", b"c", b"d")
    await shelf.act("dead", list((await shelf.ids()).values()))
    answer = await shelf.nsqd.post("/message/redrive?topic=t.dead&limit=1")
    assert (answer.json["moved"], answer.json["left"]) == (1, 3)
    assert await shelf.pages("&channel=c") == ["a"]
    page = await shelf.listed("&channel=redrive&body=text", topic="t.dead")
    chosen = {message["body"]: message["id"] for message in page["messages"]}
    query = f"topic=t.dead&id={chosen['c']}&id={'0' * 16}"
    answer = await shelf.nsqd.post(f"/message/redrive?{query}")
    assert answer.json == {"moved": 1, "left": 2, "channel": "redrive", "missing": ["0" * 16]}
    assert await shelf.pages("&channel=c") == ["a", "c"]


async def test_what_has_nowhere_to_go_stays_with_the_reason(shelf):
    await shelf.fill(b"a")
    await shelf.act("dead", list((await shelf.ids()).values()))
    await shelf.nsqd.post("/channel/create?topic=t&channel=other")
    answer = await shelf.nsqd.post("/message/redrive?topic=t.dead")
    kept = {"it is not known where they come from": 1}
    assert answer.json == {"moved": 0, "left": 1, "channel": "redrive", "kept": kept}
    answer = await shelf.nsqd.post("/message/redrive?topic=t.dead&to=topic")
    assert answer.json["moved"] == 1
    assert await shelf.pages("&channel=c") == await shelf.pages("&channel=other") == ["a"]


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("", (400, "MISSING_ARG_TOPIC")),
        ("topic=none", (404, "TOPIC_NOT_FOUND")),
        ("topic=t&channel=none", (404, "CHANNEL_NOT_FOUND")),
        ("topic=t&to=moon", (400, "INVALID_ARG_TO")),
        ("topic=t&limit=0", (400, "INVALID_LIMIT")),
        ("topic=t&id=x", (400, "INVALID_ID")),
        ("topic=t", (400, "MISSING_ARG_CHANNEL")),
    ],
)
async def test_a_request_that_makes_no_sense_changes_nothing(shelf, query, refusal):
    await shelf.fill(b"a")
    await shelf.nsqd.post("/channel/create?topic=t&channel=other")
    answer = await shelf.nsqd.post(f"/message/redrive?{query}")
    assert (answer.status, json.loads(answer.body)["message"]) == refusal
    assert await shelf.pages("&channel=c") == ["a"]


@define(eq=False)
class Asked:
    """Timers that ring when the test says so, the early ones."""

    calls: list[tuple[int, Callable[[], None]]] = Factory(list)

    def call_at(self, when: int, call: Callable[[], None]) -> NoTimer:
        self.calls.append((when, call))
        return NoTimer()

    def ring(self, until: int) -> bool:
        due = [one for one in self.calls if one[0] <= until]
        self.calls = [one for one in self.calls if one[0] > until]
        for _, call in due:
            call()
        return bool(due)


async def test_a_dead_letter_is_moved_where_nothing_else_comes_in(shelf):
    await shelf.make_durable()
    policy = {"pattern": "t.dead", "definition": {"durability": "os"}}
    await shelf.nsqd.put("/policy/set?name=dead", json.dumps(policy).encode())
    await shelf.fill(b"one")
    await shelf.nsqd.post("/topic/create?topic=t.dead")
    nsqd, timers = shelf.nsqd, Asked()
    nsqd.durability.start()
    clock = EngineClock(nsqd.broker, timers, nsqd.durability, lambda: nsqd.time[0])
    client = nsqd.connect(b"SUB t c\nRDY 1\n").client
    clock.end_tick()
    while timers.ring(nsqd.time[0] + SECOND):
        clock.end_tick()
    client.channel.terminate(client.consumer, list(client.consumer.in_flight))
    clock.end_tick()
    while timers.ring(nsqd.time[0] + SECOND):
        clock.end_tick()
    assert nsqd.broker.topics["t.dead"].depth == 1


async def test_a_topic_that_waits_for_its_first_channel_is_not_taken_for_dead_letters(shelf):
    await shelf.nsqd.post("/pub?topic=orders", b"x")
    answer = await shelf.nsqd.post("/message/redrive?topic=orders")
    assert (answer.status, answer.json["message"]) == (409, "NO_DEAD_LETTERS")
    assert not shelf.nsqd.broker.topics["orders"].channels
    assert shelf.nsqd.broker.topics["orders"].depth == 1


@pytest.mark.parametrize("channel", ["", "&channel=c"])
@pytest.mark.parametrize("durable", [False, True])
async def test_a_channel_without_dead_letters_keeps_its_order(shelf, channel: str, durable: bool):
    if durable:
        await shelf.make_durable()
    await shelf.fill(b"one", b"two", b"three")
    answer = await shelf.nsqd.post(f"/message/redrive?topic=t{channel}&limit=1")
    assert (answer.status, answer.json["message"]) == (409, "NO_DEAD_LETTERS")
    assert await shelf.pages("&channel=c") == ["one", "two", "three"]
