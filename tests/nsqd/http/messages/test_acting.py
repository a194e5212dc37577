"""POST /message/finish, requeue and copy, as a user asks for them."""

import json
import logging

import pytest

from nsqcore.wire.headers import encode_headers, with_block

SECOND = 1_000_000_000


def texts(count: int) -> list[bytes]:
    return [f"m{number}".encode() for number in range(count)]


async def channel_of(shelf) -> dict[str, int]:
    (topic, *_) = (await shelf.nsqd.stats("&topic=t"))["topics"]
    return topic["channels"][0]


async def test_queued_messages_are_finished_in_memory_and_on_disk(make_shelf):
    shelf = make_shelf(mem_queue_size=4)
    await shelf.fill(*texts(10))
    ids = await shelf.ids()
    chosen = [ids["m1"], ids["m6"], ids["m9"]]
    assert await shelf.act("finish", chosen) == {"done": 3, "missing": []}
    left = ["m0", "m2", "m3", "m4", "m5", "m7", "m8"]
    assert await shelf.pages("&channel=c&limit=2") == left
    channel = await channel_of(shelf)
    assert (channel["depth"], channel["backend_depth"]) == (7, 4)
    taken = shelf.nsqd.broker.topics["t"].channels["c"].queue.take(100)
    assert sorted(record[26:].decode() for record in taken) == left
    assert (await channel_of(shelf))["depth"] == 0


async def test_finishing_the_last_messages_on_disk_leaves_an_empty_queue(make_shelf):
    shelf = make_shelf(mem_queue_size=0)
    await shelf.fill(*texts(5))
    ids = await shelf.ids()
    assert (await shelf.act("finish", list(ids.values())))["done"] == 5
    assert (await channel_of(shelf))["depth"] == 0
    assert await shelf.pages("&channel=c") == []
    await shelf.fill(b"new")
    assert await shelf.pages("&channel=c") == ["new"]


async def test_messages_in_flight_are_finished_and_their_client_gets_others(shelf):
    await shelf.fill(*texts(4))
    session = shelf.nsqd.connect(b"SUB t c\nRDY 2\n")
    ids = await shelf.ids()
    assert await shelf.act("finish", [ids["m0"]]) == {"done": 1, "missing": []}
    assert await shelf.pages("&channel=c&state=in_flight") == ["m1", "m2"]
    session.outbox.take()
    session.received(f"FIN {ids['m0']}\n".encode())
    assert b"E_FIN_FAILED" in session.outbox.take()


async def test_deferred_messages_are_finished_or_delivered_at_once(shelf):
    await shelf.fill()
    for body in texts(3):
        await shelf.nsqd.post("/pub?topic=t&defer=60000", body)
    ids = await shelf.ids()
    assert (await shelf.act("finish", [ids["m0"]]))["done"] == 1
    assert (await shelf.act("requeue", [ids["m2"]]))["done"] == 1
    assert await shelf.pages("&channel=c&state=deferred") == ["m1"]
    page = await shelf.listed()
    assert [message["attempts"] for message in page["messages"]] == [0]
    assert await shelf.pages("&channel=c") == ["m2"]
    shelf.nsqd.time[0] += 61 * SECOND
    shelf.nsqd.broker.expire(shelf.nsqd.time[0])
    assert sorted(await shelf.pages("&channel=c")) == ["m1", "m2"]
    assert (await channel_of(shelf))["deferred_count"] == 0


async def test_messages_in_flight_are_requeued_and_count_the_delivery(shelf):
    await shelf.fill(*texts(2))
    shelf.nsqd.connect(b"SUB t c\nRDY 2\n")
    ids = await shelf.ids()
    await shelf.nsqd.post("/channel/pause?topic=t&channel=c")
    assert (await shelf.act("requeue", list(ids.values())))["done"] == 2
    page = await shelf.listed()
    assert [message["attempts"] for message in page["messages"]] == [1, 1]
    assert (await channel_of(shelf))["requeue_count"] == 2


async def test_requeueing_leaves_queued_messages_where_they_are(shelf):
    await shelf.fill(*texts(3))
    ids = await shelf.ids()
    assert await shelf.act("requeue", [ids["m0"]]) == {"done": 1, "missing": []}
    assert await shelf.pages("&channel=c") == ["m0", "m1", "m2"]


async def test_copies_go_to_another_topic_and_the_originals_stay(make_shelf):
    shelf = make_shelf(mem_queue_size=2)
    await shelf.fill(*texts(5))
    shelf.nsqd.connect(b"SUB t c\nRDY 1\n")
    ids = await shelf.ids()
    chosen = [ids["m0"], ids["m1"], ids["m4"]]
    assert (await shelf.act("copy", chosen, "&channel=c&to=u"))["done"] == 3
    assert sorted(await shelf.pages("", topic="u")) == ["m0", "m1", "m4"]
    assert len(await shelf.ids()) == 5


async def test_without_a_channel_it_is_what_waits_in_the_topic(make_shelf):
    shelf = make_shelf(mem_queue_size=2)
    await shelf.fill(*texts(5), channel="")
    ids = await shelf.ids("")
    assert (await shelf.act("copy", [ids["m3"]], "&to=u"))["done"] == 1
    assert await shelf.pages("", topic="u") == ["m3"]
    assert (await shelf.act("finish", [ids["m1"], ids["m2"]], ""))["done"] == 2
    assert await shelf.pages("") == ["m0", "m3", "m4"]
    await shelf.fill()
    shelf.nsqd.broker.dispatch(shelf.nsqd.time[0])
    assert sorted(await shelf.pages("&channel=c")) == ["m0", "m3", "m4"]


async def test_durable_messages_are_finished_in_memory_and_log(make_shelf):
    shelf = make_shelf(mem_queue_size=3)
    await shelf.make_durable()
    await shelf.fill()
    await shelf.fill(*texts(10))
    ids = await shelf.ids()
    assert (await shelf.act("finish", [ids["m1"], ids["m7"]]))["done"] == 2
    left = ["m0", "m2", "m3", "m4", "m5", "m6", "m8", "m9"]
    assert await shelf.pages("&channel=c") == left
    assert (await channel_of(shelf))["depth"] == 8
    taken = shelf.nsqd.broker.topics["t"].channels["c"].queue.take(100)
    assert [record[26:].decode() for record in taken] == left


async def test_what_a_durable_topic_keeps_for_a_channel_to_come_can_be_copied_only(shelf):
    await shelf.make_durable()
    await shelf.fill(channel="")
    await shelf.fill(b"m0", channel="")
    (id,) = (await shelf.ids("")).values()
    assert (await shelf.act("copy", [id], "&to=u"))["done"] == 1
    answer = await shelf.act("finish", [id], "")
    assert (answer["done"], answer["missing"]) == (0, [id])
    assert "durable" in answer["detail"]
    assert await shelf.pages("") == ["m0"]


async def test_ids_that_are_gone_are_missing_and_others_done_once(shelf):
    await shelf.fill(*texts(2))
    ids = await shelf.ids()
    gone = "0123456789abcdef"
    answer = await shelf.act("finish", [gone, ids["m0"], ids["m0"]])
    assert answer == {"done": 1, "missing": [gone]}
    assert (await shelf.act("finish", [ids["m0"]])) == {"done": 0, "missing": [ids["m0"]]}
    assert await shelf.pages("&channel=c") == ["m1"]


async def test_what_was_done_is_logged_with_who_and_why(shelf, caplog):
    await shelf.fill(b"m0")
    (id,) = (await shelf.ids()).values()
    with caplog.at_level(logging.INFO):
        await shelf.act("finish", [id], "&channel=c&reason=poison%0Apill")
    (line,) = [text for text in caplog.messages if text.startswith("MESSAGES")]
    assert line == f"MESSAGES(t:c): finished 1 at the request of 127.0.0.1:9 (poison pill): {id}"


async def test_a_full_disk_refuses_copies_and_keeps_the_originals(shelf):
    await shelf.fill(b"m0")
    (id,) = (await shelf.ids()).values()
    shelf.nsqd.broker.draining = True
    answer = await shelf.act("copy", [id], "&channel=c&to=u")
    assert answer == {"done": 0, "missing": [], "failed": [id], "detail": "draining"}
    assert await shelf.pages("&channel=c") == ["m0"]


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("finish", (400, "MISSING_ARG_TOPIC")),
        ("finish?topic=t&channel=c", (400, "MISSING_ARG_ID")),
        ("finish?topic=t&channel=c&id=1", (400, "INVALID_ID")),
        ("finish?topic=t&channel=c" + "&id=0123456789abcdef" * 1001, (400, "TOO_MANY_IDS")),
        ("finish?topic=u&channel=c&id=0123456789abcdef", (404, "TOPIC_NOT_FOUND")),
        ("finish?topic=t&channel=d&id=0123456789abcdef", (404, "CHANNEL_NOT_FOUND")),
        ("dead?topic=t&id=0123456789abcdef", (400, "MISSING_ARG_CHANNEL")),
        ("requeue?topic=t&id=0123456789abcdef", (400, "MISSING_ARG_CHANNEL")),
        ("copy?topic=t&channel=c&id=0123456789abcdef", (400, "MISSING_ARG_TO")),
        ("copy?topic=t&channel=c&id=0123456789abcdef&to=a%20b", (400, "INVALID_ARG_TO")),
    ],
)
async def test_what_makes_no_sense_is_refused(shelf, query, refusal):
    await shelf.fill(b"one")
    answer = await shelf.nsqd.post(f"/message/{query}")
    assert (answer.status, answer.json["message"]) == refusal
    assert list(shelf.nsqd.broker.topics) == ["t"]
    assert await shelf.pages("&channel=c") == ["one"]


async def dead_letters(shelf, query: str = "&channel=c&state=dead"):
    return {m["body"]: m for m in (await shelf.listed(f"{query}&body=text"))["messages"]}


@pytest.mark.parametrize("durable", [False, True])
async def test_messages_go_to_the_dead_letter_topic_from_wherever_they_are(make_shelf, durable):
    shelf = make_shelf(mem_queue_size=3)
    if durable:
        await shelf.make_durable()
    await shelf.fill()
    await shelf.fill(*texts(8))
    shelf.nsqd.connect(b"SUB t c\nRDY 1\n")
    ids = await shelf.ids()
    chosen = [ids["m0"], ids["m2"], ids["m7"]]
    answer = await shelf.act("dead", chosen, "&channel=c&reason=poison")
    assert answer == {"done": 3, "missing": []}
    dead = await dead_letters(shelf)
    assert sorted(dead) == ["m0", "m2", "m7"]
    left = set(await shelf.ids())
    assert left == {"m1", "m3", "m4", "m5", "m6"}


async def test_headers_are_shown_and_copied(shelf):
    for name in ("t", "u"):
        policy = {"pattern": name, "definition": {"durability": "os"}}
        await shelf.nsqd.put(f"/policy/set?name={name}", json.dumps(policy).encode())
    await shelf.fill()
    block = encode_headers({"trace": "abc"})
    now = shelf.nsqd.time[0]
    shelf.nsqd.broker.publish_headed("t", [with_block(b"m0", block)], now, lambda failure: None)
    shelf.nsqd.commit()
    (message,) = (await shelf.listed("&channel=c&body=text"))["messages"]
    assert (message["body"], message["size"]) == ("m0", 2)
    assert message["headers"] == {"trace": "abc"}
    raw = await shelf.nsqd.get(f"/message/get?topic=t&channel=c&id={message['id']}&format=raw")
    assert raw.body == b"m0"
    assert (await shelf.act("copy", [message["id"]], "&channel=c&to=u"))["done"] == 1
    (copied,) = (await shelf.listed("&body=text", topic="u"))["messages"]
    assert (copied["body"], copied["headers"]) == ("m0", {"trace": "abc"})


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("moment", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("method", "question"),
    [
        ("GET", "/message/list?topic=t&channel=c&contains=nothing&limit=1"),
        ("GET", "/message/get?topic=t&channel=c"),
        ("POST", "/message/finish?topic=t&channel=c"),
        ("POST", "/message/requeue?topic=t&channel=c"),
        ("POST", "/message/copy?topic=t&channel=c&to=u"),
        ("POST", "/message/dead?topic=t&channel=c"),
        ("POST", "/message/redrive?topic=t&channel=c"),
    ],
)
async def test_a_topic_that_vanishes_meanwhile_gives_a_clear_answer(
    make_shelf, durable, moment, method, question
):
    shelf = make_shelf(durability="os" if durable else "none", mem_queue_size=2)
    await shelf.fill(*texts(6))
    ids = await shelf.ids()
    nsqd, broker = shelf.nsqd, shelf.nsqd.broker
    looks = 0

    def now() -> int:
        nonlocal looks
        looks += 1
        if looks == moment:
            broker.delete_topic(broker.topics["t"])
        return nsqd.time[0]

    nsqd.api.now = now
    chosen = "" if "list" in question else f"&id={ids['m5']}"
    answer = await nsqd.ask(method, question + chosen)
    if looks < moment:
        return  # it was done before
    assert (answer.status, answer.json.get("message")) in [
        (200, None),
        (404, "TOPIC_NOT_FOUND"),
        (404, "MESSAGE_NOT_FOUND"),
        (410, "STALE_CURSOR"),
    ]
    assert "t" not in broker.topics
