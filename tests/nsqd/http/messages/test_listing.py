"""GET /message/list and /message/get, as a user asks them."""

from base64 import b64decode

import pytest
from tests.nsqd.http.conftest import WALL

from nsqcore.wire.frames import FrameParser, Messages, parse_record

SECOND = 1_000_000_000
URL = "/message/list?topic=t"


def texts(count: int, prefix: str = "m") -> list[bytes]:
    return [f"{prefix}{number}".encode() for number in range(count)]


async def test_a_queued_message_is_told_with_all_there_is_to_know(shelf):
    await shelf.fill(b"one")
    page = await shelf.listed()
    (message,) = page.pop("messages")
    assert page == {
        "topic": "t", "channel": "c", "state": "queued", "next": "", "total": 1, "scanned": 1,
    }  # fmt: skip
    assert b64decode(message.pop("body")) == b"one"
    assert len(message.pop("id")) == 16
    assert message == {
        "timestamp": WALL + shelf.nsqd.time[0], "attempts": 0, "state": "queued", "size": 3,
        "encoding": "base64",
    }  # fmt: skip


async def test_pages_are_in_order_and_complete_over_memory_and_disk(make_shelf):
    shelf = make_shelf(mem_queue_size=7)
    await shelf.fill(*texts(50))
    for limit in (1, 3, 7, 49, 50, 1000):
        assert await shelf.pages(f"&channel=c&limit={limit}") == [f"m{n}" for n in range(50)]
    stats = await shelf.nsqd.stats()
    assert stats["topics"][0]["channels"][0]["backend_depth"] == 43


async def test_a_page_goes_on_behind_what_was_consumed_meanwhile(make_shelf):
    shelf = make_shelf(mem_queue_size=7)
    await shelf.fill(*texts(20))
    page = await shelf.listed("&channel=c&limit=5&body=text")
    shelf.nsqd.broker.topics["t"].channels["c"].queue.take(12)
    assert await shelf.pages("&channel=c", page["next"]) == [f"m{n}" for n in range(12, 20)]


async def test_without_a_channel_it_is_what_waits_in_the_topic(make_shelf):
    shelf = make_shelf(mem_queue_size=2)
    await shelf.fill(*texts(5), channel="")
    await shelf.nsqd.post("/pub?topic=t&defer=60000", b"later")
    assert await shelf.pages("&limit=2") == ["m0", "m1", "m2", "m3", "m4"]
    deferred = await shelf.listed("&state=deferred&body=text")
    assert deferred["total"] == 1
    assert deferred["messages"][0]["body"] == "later"
    assert deferred["messages"][0]["delay"] == 60 * SECOND


async def test_messages_in_flight_name_their_client_and_deadline(shelf):
    await shelf.fill(*texts(3))
    shelf.nsqd.connect(b"SUB t c\nRDY 2\n", port=77)
    page = await shelf.listed("&channel=c&state=in_flight&body=text")
    assert page["total"] == 2
    assert [message["body"] for message in page["messages"]] == ["m0", "m1"]
    for message in page["messages"]:
        assert message["client"] == "127.0.0.1:77"
        assert message["deadline"] == WALL + shelf.nsqd.time[0] + 60 * SECOND
        assert message["attempts"] == 1
    assert await shelf.pages("&channel=c&state=in_flight&limit=1") == ["m0", "m1"]
    assert await shelf.pages("&channel=c") == ["m2"]


async def test_deferred_messages_come_in_the_order_in_which_they_are_due(shelf):
    await shelf.fill()
    for delay in (3000, 1000, 2000, 1000):
        await shelf.nsqd.post(f"/pub?topic=t&defer={delay}", str(delay).encode())
    page = await shelf.listed("&channel=c&state=deferred")
    assert [message["due"] for message in page["messages"]] == [
        WALL + shelf.nsqd.time[0] + seconds * SECOND for seconds in (1, 1, 2, 3)
    ]
    for limit in (1, 2, 3, 4, 5):
        assert await shelf.pages(f"&channel=c&state=deferred&limit={limit}") == [
            "1000", "1000", "2000", "3000",
        ]  # fmt: skip


async def test_dead_is_the_dead_letter_topic_of_the_channel(shelf):
    await shelf.fill()
    query = "&channel=c&state=dead&body=text"
    assert (await shelf.listed(query))["total"] == 0
    await shelf.fill(b"bad", topic="t.dead", channel="")
    page = await shelf.listed(query)
    assert (page["topic"], page["state"]) == ("t.dead", "dead")
    assert [message["body"] for message in page["messages"]] == ["bad"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("contains=needle", ["a needle", "needle b"]),
        ("contains=%00", ["\0zero"]),
        ("max_age=5s", ["new"]),
        ("min_age=5s", ["a needle", "hay", "needle b", "\0zero"]),
        ("min_age=5s&contains=h", ["hay"]),
        ("contains=nothing", []),
    ],
)
async def test_messages_are_filtered(shelf, query, found):
    await shelf.fill(b"a needle", b"hay", b"needle b", b"\0zero")
    shelf.nsqd.time[0] += 10 * SECOND
    await shelf.fill(b"new")
    assert await shelf.pages(f"&channel=c&{query}") == found
    assert await shelf.pages(f"&channel=c&{query}&limit=1") == found
    assert (await shelf.listed(f"&channel=c&{query}"))["total"] == 5


async def test_a_message_is_found_by_the_beginning_of_its_id(shelf):
    await shelf.fill(*texts(3))
    ids = [message["id"] for message in (await shelf.listed())["messages"]]
    assert await shelf.pages(f"&channel=c&id={ids[1]}") == ["m1"]
    assert await shelf.pages(f"&channel=c&id={ids[1][:12]}") == ["m0", "m1", "m2"]


async def test_a_page_that_finds_nothing_ends_and_the_next_one_goes_on(shelf, monkeypatch):
    monkeypatch.setattr("nsqd.engine.browsing.looking.MOST_SCANNED", 1000)
    await shelf.fill(*texts(2500), b"needle")
    page = await shelf.listed("&channel=c&contains=needle")
    assert page["messages"] == []
    assert page["scanned"] == 1000
    assert await shelf.pages("&channel=c&contains=needle", page["next"]) == ["needle"]


@pytest.mark.parametrize(
    ("form", "body", "shown"),
    [
        ("base64", b"\xff", {"encoding": "base64", "body": "/w=="}),
        ("text", b"\xff", {"encoding": "base64", "body": "/w=="}),
        ("text", b"caf\xc3\xa9", {"encoding": "text", "body": "café"}),
        ("text", b"\0" * 9, {"encoding": "base64", "body": "AAAAAAAAAAAA"}),
        ("none", b"x", {}),
    ],
)
async def test_bodies_are_text_where_they_are_and_base64_else(shelf, form, body, shown):
    await shelf.fill(body)
    (message,) = (await shelf.listed(f"&channel=c&body={form}"))["messages"]
    assert message["size"] == len(body)
    assert {name: message[name] for name in message if name in ("encoding", "body")} == shown


@pytest.mark.parametrize(("longest", "shown"), [(4, "caf"), (5, "café"), (0, "")])
async def test_long_bodies_are_cut_between_characters(shelf, longest, shown):
    await shelf.fill("café noir".encode())
    query = f"&channel=c&body=text&max_body={longest}"
    (message,) = (await shelf.listed(query))["messages"]
    assert (message["encoding"], message["body"], message["truncated"]) == ("text", shown, True)


@pytest.mark.slow
async def test_a_page_stays_within_its_size_and_nothing_is_left_out(shelf):
    await shelf.fill(*[b"%d" % number + b"x" * 999_000 for number in range(9)])
    seen, following, sizes = [], "", []
    while True:
        query = f"&channel=c&body=text&max_body=1048576&next={following}"
        answer = await shelf.nsqd.get(URL + query)
        sizes.append(len(answer.body))
        seen += [message["body"][0] for message in answer.json["messages"]]
        following = answer.json["next"]
        if not following:
            break
    assert seen == [str(number) for number in range(9)]
    assert max(sizes) < 4_300_000
    assert len(sizes) == 3


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("/message/list", (400, "MISSING_ARG_TOPIC")),
        ("/message/list?topic=a%20b", (400, "INVALID_ARG_TOPIC")),
        ("/message/list?topic=nobody", (404, "TOPIC_NOT_FOUND")),
        ("/message/list?topic=t%23ephemeral", (404, "TOPIC_NOT_FOUND")),
        (URL + "&channel=%00", (400, "INVALID_ARG_CHANNEL")),
        (URL + "&channel=nobody", (404, "CHANNEL_NOT_FOUND")),
        (URL + "&channel=c%23ephemeral", (404, "CHANNEL_NOT_FOUND")),
        (URL + "&state=gone", (400, "INVALID_STATE")),
        (URL + "&state=in_flight", (400, "MISSING_ARG_CHANNEL")),
        (URL + "&state=log", (409, "NOT_DURABLE")),
        (URL + "&limit=0", (400, "INVALID_LIMIT")),
        (URL + "&limit=1001", (400, "INVALID_LIMIT")),
        (URL + "&limit=-1", (400, "INVALID_LIMIT")),
        (URL + "&limit=99999999999999999999", (400, "INVALID_LIMIT")),
        (URL + "&max_body=9999999", (400, "INVALID_MAX_BODY")),
        (URL + "&body=xml", (400, "INVALID_BODY")),
        (URL + "&id=xyz", (400, "INVALID_ID")),
        (URL + "&min_age=soon", (400, "INVALID_MIN_AGE")),
        (URL + "&max_age=-1s", (400, "INVALID_MAX_AGE")),
        (URL + "&contains=" + "x" * 1025, (400, "INVALID_CONTAINS")),
        (URL + "&next=AAAA", (400, "INVALID_CURSOR")),
        (URL + "&next=%C3%A9", (400, "INVALID_CURSOR")),
        (URL + "&next=" + "A" * 999, (400, "INVALID_CURSOR")),
        ("/message/get?topic=t&channel=c", (400, "MISSING_ARG_ID")),
        ("/message/get?topic=t&channel=c&id=zz", (400, "INVALID_ID")),
        ("/message/get?topic=t&channel=c&id=0123456789abcdef", (404, "MESSAGE_NOT_FOUND")),
        ("/message/get?topic=t&channel=c&id=0123456789abcdef&format=x", (400, "INVALID_FORMAT")),
    ],
)
async def test_what_makes_no_sense_is_refused(shelf, query, refusal):
    await shelf.fill(b"one")
    answer = await shelf.nsqd.get(query)
    assert (answer.status, answer.json["message"]) == refusal
    assert list(shelf.nsqd.broker.topics) == ["t"]
    assert (await shelf.listed())["total"] == 1


async def test_cursors_hold_for_their_list_and_for_its_life(shelf):
    await shelf.fill(*texts(9))
    cursor = (await shelf.listed("&channel=c&limit=3"))["next"]
    for query in ("&state=deferred&channel=c", ""):
        answer = await shelf.nsqd.get(f"{URL}{query}&next={cursor}")
        assert (answer.status, answer.json["message"]) == (400, "INVALID_CURSOR")
    forged = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for other in (forged, cursor[:-1], cursor + "=", cursor + "!!!!", "!" + cursor):
        answer = await shelf.nsqd.get(f"{URL}&channel=c&next={other}")
        assert (answer.status, answer.json["message"]) == (400, "INVALID_CURSOR"), other
    await shelf.nsqd.post("/channel/delete?topic=t&channel=c")
    await shelf.nsqd.post("/channel/create?topic=t&channel=c")
    answer = await shelf.nsqd.get(f"{URL}&channel=c&next={cursor}")
    assert (answer.status, answer.json["message"]) == (410, "STALE_CURSOR")


async def test_a_cursor_of_an_emptied_channel_goes_on_with_what_came_since(shelf):
    await shelf.fill(*texts(9))
    cursor = (await shelf.listed("&channel=c&limit=3"))["next"]
    await shelf.nsqd.post("/channel/empty?topic=t&channel=c")
    await shelf.fill(b"new")
    assert await shelf.pages("&channel=c", cursor) == ["new"]


async def test_one_message_is_got_whole_wherever_it_is(make_shelf):
    shelf = make_shelf(mem_queue_size=2)
    await shelf.fill(*[b"x" * 5000 + body for body in texts(6)])
    await shelf.nsqd.post("/pub?topic=t&defer=60000", b"x" * 5000 + b"d")
    shelf.nsqd.connect(b"SUB t c\nRDY 1\n")
    ids = {}
    for state in ("queued", "in_flight", "deferred"):
        page = await shelf.listed(f"&channel=c&state={state}")
        ids |= {message["id"]: message for message in page["messages"]}
    assert len(ids) == 7
    for id, message in ids.items():
        url = f"/message/get?topic=t&channel=c&id={id}"
        raw = await shelf.nsqd.get(url + "&format=raw")
        assert raw.body.startswith(b"x" * 5000)
        assert raw.headers["Content-Type"] == "application/octet-stream"
        whole = (await shelf.nsqd.get(url)).json
        assert b64decode(whole["body"]) == raw.body
        assert (whole["state"], whole["attempts"]) == (message["state"], message["attempts"])


async def test_a_durable_channel_is_seen_in_memory_and_log(make_shelf):
    shelf = make_shelf(mem_queue_size=3)
    await shelf.make_durable()
    await shelf.fill()
    await shelf.fill(*texts(20))
    for limit in (1, 3, 4, 19, 20):
        assert await shelf.pages(f"&channel=c&limit={limit}") == [f"m{n}" for n in range(20)]
    channel = shelf.nsqd.broker.topics["t"].channels["c"]
    taken = channel.queue.take(5)
    assert [parse_record(record).body for record in taken] == texts(5)
    channel.queue.finish([record[10:26] for record in taken])
    assert await shelf.pages("&channel=c&limit=2") == [f"m{n}" for n in range(5, 20)]
    assert await shelf.pages("&state=log&limit=7") == [f"m{n}" for n in range(20)]
    log = await shelf.listed("&state=log")
    assert log["total"] == 20
    assert {message["state"] for message in log["messages"]} == {"log"}


async def test_what_a_durable_topic_keeps_for_a_channel_to_come_is_seen(shelf):
    await shelf.make_durable()
    await shelf.fill(channel="")
    await shelf.fill(*texts(5), channel="")
    assert await shelf.pages("&limit=2") == [f"m{n}" for n in range(5)]
    (first, *_) = (await shelf.listed(""))["messages"]
    raw = await shelf.nsqd.get(f"/message/get?topic=t&id={first['id']}&format=raw")
    assert raw.body == b"m0"


@pytest.mark.parametrize("name", ["c%23ephemeral", "c#ephemeral"])
async def test_an_ephemeral_channel_is_seen_with_and_without_an_escape(shelf, name):
    await shelf.fill(b"one", channel="c%23ephemeral")
    assert await shelf.pages(f"&channel={name}") == ["one"]
    assert list(shelf.nsqd.broker.topics["t"].channels) == ["c#ephemeral"]


@pytest.mark.slow
async def test_a_thousand_looks_while_consuming_change_nothing(make_shelf):
    shelf = make_shelf(mem_queue_size=100)
    await shelf.fill(*texts(500))
    session = shelf.nsqd.connect(b"SUB t c\nRDY 3\n")
    states = ("queued", "in_flight", "deferred", "queued")
    got: list[tuple[bytes, int]] = []
    parser, looks = FrameParser(), 0
    while len(got) < 500:
        runs = [
            frame for frame in parser.feed(session.outbox.take()) if isinstance(frame, Messages)
        ]
        fresh = [parse_record(record) for run in runs for record in run.records]
        assert fresh
        for message in fresh:
            for following in ("", "again"):
                query = f"&channel=c&limit=2&state={states[looks % 4]}"
                page = await shelf.listed(query)
                if following and page["next"]:
                    await shelf.listed(f"{query}&next={page['next']}")
                looks += 1
            session.received(b"FIN %s\n" % message.id)
        got += [(message.body, message.attempts) for message in fresh]
        shelf.nsqd.broker.dispatch(shelf.nsqd.time[0])
    assert looks == 1000
    assert sorted(got) == sorted((body, 1) for body in texts(500))
    assert await shelf.pages("&channel=c") == []
