"""/pub and /mpub."""

import pytest

from nsqd.http.actions.publish import read_binary, read_lines


def sized(*bodies):
    return len(bodies).to_bytes(4, "big") + b"".join(
        len(body).to_bytes(4, "big") + body for body in bodies
    )


def bodies(nsqd, topic):
    return [record[26:] for record in nsqd.broker.topics[topic].queue.take(100)]


async def test_pub_queues_the_body_as_it_is(nsqd):
    answer = await nsqd.post("/pub?topic=t", b"one\n\x00\xff")
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"
    assert bodies(nsqd, "t") == [b"one\n\x00\xff"]
    assert nsqd.waits == 0


async def test_pub_reaches_a_consumer_within_the_tick(nsqd):
    consumer = nsqd.connect(b"SUB t c\nRDY 1\n")
    consumer.outbox.take()
    await nsqd.post("/pub?topic=t", b"hello")
    assert consumer.outbox.take().endswith(b"hello")


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        ("/pub", b"x", (400, "MISSING_ARG_TOPIC")),
        ("/pub?channel=c", b"x", (400, "MISSING_ARG_TOPIC")),
        ("/pub?topic=a%24", b"x", (400, "INVALID_TOPIC")),
        ("/pub?topic=", b"x", (400, "INVALID_TOPIC")),
        ("/pub?topic=" + "a" * 65, b"x", (400, "INVALID_TOPIC")),
        ("/pub?topic=%zz", b"x", (400, "INVALID_REQUEST")),
        ("/pub?topic=t", b"", (400, "MSG_EMPTY")),
        ("/pub", b"", (400, "MSG_EMPTY")),
        ("/mpub?topic=t&binary=false&header=%zz", b"x", (400, "INVALID_REQUEST")),
        ("/pub", b"x" * 101, (413, "MSG_TOO_BIG")),
        ("/mpub", b"x", (400, "MISSING_ARG_TOPIC")),
        ("/mpub?topic=a%24", b"x", (400, "INVALID_TOPIC")),
        ("/mpub", b"x" * 301, (413, "BODY_TOO_BIG")),
    ],
)
async def test_bad_publishes_are_refused_and_make_no_topic(make_nsqd, path, body, refusal):
    nsqd = make_nsqd(max_msg_size=100, max_body_size=300)
    assert (await nsqd.post(path, body)).refusal == refusal
    assert not nsqd.broker.topics


async def test_message_of_the_largest_size_is_accepted(make_nsqd):
    nsqd = make_nsqd(max_msg_size=100)
    assert (await nsqd.post("/pub?topic=t", b"x" * 100)).status == 200


async def test_deferred_message_waits_for_its_time(nsqd):
    consumer = nsqd.connect(b"SUB t c\nRDY 1\n")
    consumer.outbox.take()
    assert (await nsqd.post("/pub?topic=t&defer=1000", b"later")).body == b"OK"
    nsqd.time[0] += 999_999_999
    nsqd.broker.expire(nsqd.time[0])
    nsqd.broker.dispatch(nsqd.time[0])
    assert consumer.outbox.take() == b""
    nsqd.time[0] += 1
    nsqd.broker.expire(nsqd.time[0])
    nsqd.broker.dispatch(nsqd.time[0])
    assert consumer.outbox.take().endswith(b"later")


@pytest.mark.parametrize("delay", ["abc", "-1", "2001", "1.5", "", "1_0", "%201", "9" * 30])
async def test_bad_delay_is_refused(make_nsqd, delay):
    nsqd = make_nsqd(max_req_timeout=2.0)
    answer = await nsqd.post(f"/pub?topic=t&defer={delay}", b"x")
    assert answer.refusal == (400, "INVALID_DEFER")
    assert nsqd.broker.topics["t"].message_count == 0


@pytest.mark.parametrize("delay", ["0", "%2B5", "2000"])
async def test_delay_up_to_the_longest_is_accepted(make_nsqd, delay):
    nsqd = make_nsqd(max_req_timeout=2.0)
    assert (await nsqd.post(f"/pub?topic=t&defer={delay}", b"x")).status == 200
    assert nsqd.broker.topics["t"].message_count == 1


async def test_the_longest_delay_of_a_publish_can_be_another_than_that_of_a_requeue(make_nsqd):
    nsqd = make_nsqd(max_req_timeout=2.0, max_defer_timeout=10.0)
    assert (await nsqd.post("/pub?topic=t&defer=10000", b"x")).status == 200
    answer = await nsqd.post("/pub?topic=t&defer=10001", b"x")
    assert answer.refusal == (400, "INVALID_DEFER")


async def test_where_little_is_free_publishes_are_refused_and_it_is_told(make_nsqd):
    nsqd = make_nsqd(min_free_bytes=1000)
    assert (await nsqd.post("/pub?topic=t", b"x")).status == 200
    nsqd.broker.health.low = "9 bytes are free, less than --min-free-bytes=1000"
    for path in ("/pub?topic=t", "/pub?topic=t&defer=5", "/mpub?topic=t"):
        assert (await nsqd.post(path, b"x")).refusal == (503, "EXITING")
    ready = await nsqd.get("/readyz")
    assert ready.status == 503
    assert ready.json["checks"]["disk"] == nsqd.broker.health.low
    assert ready.json["min_free_bytes"] == 1000
    assert ready.json["free_bytes"] > 0
    metrics = (await nsqd.get("/metrics")).body.decode()
    assert "\nnsqd_min_free_bytes 1000\n" in metrics
    assert '\nnsqd_check_ok{check="disk"} 0\n' in metrics
    assert nsqd.broker.topics["t"].message_count == 1


async def test_mpub_takes_a_message_a_line_and_drops_empty_ones(nsqd):
    answer = await nsqd.post("/mpub?topic=t", b"one\ntwo\n\nthree \r\n\nlast")
    assert answer.body == b"OK"
    assert bodies(nsqd, "t") == [b"one", b"two", b"three \r", b"last"]


async def test_mpub_of_nothing_makes_the_topic(nsqd):
    assert (await nsqd.post("/mpub?topic=t", b"\n\n")).body == b"OK"
    assert nsqd.broker.topics["t"].message_count == 0


async def test_mpub_with_one_line_too_long_queues_nothing(make_nsqd):
    nsqd = make_nsqd(max_msg_size=100)
    answer = await nsqd.post("/mpub?topic=t", b"ok\n" + b"x" * 101)
    assert answer.refusal == (413, "MSG_TOO_BIG")
    assert nsqd.broker.topics["t"].depth == 0


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "yes", ""])
async def test_mpub_is_binary_for_any_value_that_does_not_say_no(nsqd, value):
    await nsqd.post(f"/mpub?topic=t&binary={value}", sized(b"a\nb", b"\x00"))
    assert bodies(nsqd, "t") == [b"a\nb", b"\x00"]


@pytest.mark.parametrize("value", ["0", "false"])
async def test_mpub_is_text_where_binary_is_switched_off(nsqd, value):
    await nsqd.post(f"/mpub?topic=t&binary={value}", b"x\ny")
    assert bodies(nsqd, "t") == [b"x", b"y"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\0\0", "BAD_BODY"),
        (sized(), "BAD_BODY"),
        (b"\xff\xff\xff\xff", "BAD_BODY"),
        ((1_000_000).to_bytes(4, "big"), "BAD_BODY"),
        (sized(b""), "BAD_MESSAGE"),
        (sized(b"x" * 11), "BAD_MESSAGE"),
        (sized(b"one", b"two")[:-1], "BAD_MESSAGE"),
        (sized(b"one", b"two")[:-7], "BAD_MESSAGE"),
        (b"\0\0\0\1\xff\xff\xff\xff", "BAD_MESSAGE"),
    ],
)
async def test_malformed_binary_body_queues_nothing(make_nsqd, body, message):
    nsqd = make_nsqd(max_msg_size=10, max_body_size=200)
    assert (await nsqd.post("/mpub?topic=t&binary=1", body)).refusal == (413, message)
    assert nsqd.broker.topics["t"].message_count == 0


def test_bytes_behind_the_last_sized_message_are_ignored():
    assert read_binary(sized(b"a") + b"rest", 10, 100) == [b"a"]


def test_body_without_line_ends_is_one_message():
    assert read_lines(b"one", 3) == [b"one"]


@pytest.mark.parametrize("path", ["/pub?topic=t", "/pub?topic=t&defer=9", "/mpub?topic=t"])
async def test_publishes_are_refused_while_draining(nsqd, path):
    nsqd.broker.draining = True
    assert (await nsqd.post(path, b"x")).refusal == (503, "EXITING")
    assert not nsqd.broker.topics


@pytest.mark.parametrize("path", ["/pub?topic=t", "/pub?topic=t&defer=9", "/mpub?topic=t"])
async def test_publishes_are_refused_while_the_broker_closes(nsqd, path):
    nsqd.broker.closing = True
    assert (await nsqd.post(path, b"x")).refusal == (503, "EXITING")


async def test_publish_that_the_disk_does_not_take_is_refused(make_nsqd, tmp_path):
    nsqd = make_nsqd(mem_queue_size=0)
    await nsqd.post("/topic/create?topic=t")
    (tmp_path / "t.diskqueue.000000.dat").mkdir()
    assert (await nsqd.post("/pub?topic=t", b"x")).refusal == (503, "EXITING")
    assert (await nsqd.get("/ping")).status == 500


def publish(nsqd, path, body):
    """Publish to a durable topic, which is answered when a tick has ended."""
    session = nsqd.start(path, "POST", body)
    nsqd.broker.dispatch(nsqd.time[0])
    nsqd.commit()
    assert session.outbox.take().startswith(b"HTTP/1.1 200 ")


async def headers(nsqd, topic):
    page = (await nsqd.get(f"/message/list?topic={topic}&body=text")).json
    return [(each["body"], each.get("headers")) for each in page["messages"]]


@pytest.mark.parametrize("path", ["/pub?topic=t", "/mpub?topic=t", "/pub?topic=t&defer=0"])
async def test_headers_come_as_parameters(make_nsqd, path):
    nsqd = make_nsqd(durability="os")
    publish(nsqd, f"{path}&header=user:1&header=a.b:x%20%C3%A9%3A&header=user:2", b"one")
    assert await headers(nsqd, "t") == [("one", {"user": "2", "a.b": "x é:"})]


async def test_every_message_of_mpub_has_the_headers(make_nsqd):
    nsqd = make_nsqd(durability="os")
    path = "/mpub?topic=t&binary=true&header=user:1"
    publish(nsqd, path, sized(b"one", b"two"))
    assert await headers(nsqd, "t") == [("one", {"user": "1"}), ("two", {"user": "1"})]


async def test_topics_that_keep_no_headers_keep_the_body(nsqd):
    assert (await nsqd.post("/pub?topic=t&header=user:1", b"one")).status == 200
    assert bodies(nsqd, "t") == [b"one"]


@pytest.mark.parametrize(
    "given",
    [
        "header=",
        "header=user",
        "header=:1",
        "header=User:1",
        "header=us%C3%A9r:1",
        "header=user:%00",
        "header=user:%FF",
        "header=user:a%0D%0Ab",
        "header=nsq-dead-topic:t",
        "header=user:" + "x" * 1025,
        "&".join(f"header=h{number}:1" for number in range(33)),
        "&".join(f"header=h{number}:{'x' * 1000}" for number in range(5)),
    ],
)
@pytest.mark.parametrize("path", ["/pub", "/mpub"])
async def test_headers_that_cannot_be_are_refused_and_make_no_topic(make_nsqd, path, given):
    nsqd = make_nsqd(durability="os")
    answer = await nsqd.post(f"{path}?topic=t&{given}", b"one")
    assert (answer.status, answer.json["message"]) == (400, "INVALID_HEADER")
    assert answer.json["detail"]
    assert not nsqd.broker.topics
