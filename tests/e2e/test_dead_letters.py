"""Dead letters and headers over real processes: stock clients beside ours, kill -9."""

import json

import pytest
import trio
from tests.e2e.daemons import wait_until

from nsqclient import open_consumer, open_producer
from nsqclient.http.nsqd import NsqdHttp

pytestmark = pytest.mark.slow


def policy(nsqd, pattern, **definition):
    body = json.dumps({"pattern": pattern, "definition": definition}).encode()
    status, answer = nsqd.request("PUT", "/policy/set?name=p", body)
    assert status == 200, answer


async def publish(nsqd, topic, body, headers):
    async with open_producer(nsqd.tcp) as producer:
        await producer.publish(topic, body, headers=headers)


async def first(nsqd, topic, channel, act):
    """What ``act`` makes of the first message of a channel."""
    with trio.fail_after(30):
        async with open_consumer(topic, channel, nsqd=nsqd.tcp) as consumer:
            return await act(await anext(consumer))


async def read(message):
    await message.finish()
    return message.body, dict(message.headers)


def test_headers_come_to_who_knows_them_and_stock_clients_get_the_body(daemon, peer):
    nsqd = daemon("nsqd", "--durability=os")
    for channel in ("ours", "stock"):
        nsqd.create("t", channel)
    trio.run(publish, nsqd, "t", b"body", {"trace": "é", "user": "1"})
    (stock,) = peer(nsqd).subscribe("t", "stock", ready=1).consume(1)
    assert (stock.body, stock.attempts) == (b"body", 1)
    nsqd.kill()
    nsqd.start()
    assert trio.run(first, nsqd, "t", "ours", read) == (b"body", {"trace": "é", "user": "1"})


def test_a_dead_letter_outlives_kill_9_and_comes_back_once(daemon, peer):
    nsqd = daemon("nsqd", "--durability=always")
    nsqd.create("t", "c")
    policy(nsqd, "t", max_attempts=2)
    trio.run(publish, nsqd, "t", b"poison", {"user": "1"})
    consumer = peer(nsqd).subscribe("t", "c", ready=1)
    for _ in range(2):
        consumer.send(b"REQ ", consumer.message().id, b" 0\n")
    wait_until(lambda: nsqd.channel("t", "c")["dead_count"] == 1, "it is dead")
    nsqd.kill()
    nsqd.start()
    assert nsqd.channel("t", "c")["depth"] == 0
    nsqd.create("t.dead", "look")
    assert nsqd.channel("t.dead", "look")["depth"] == 1

    async def redrive():
        async with NsqdHttp(nsqd.http) as http:
            return await http.redrive("t.dead")

    assert trio.run(redrive) == {"moved": 1, "left": 0, "channel": "look"}
    nsqd.kill()
    nsqd.start()
    assert nsqd.channel("t.dead", "look")["depth"] == 0
    assert nsqd.channel("t", "c")["depth"] == 1

    async def give_up(message):
        assert (message.attempts, message.headers["nsq-dead-reason"]) == (1, "attempts")
        await message.terminate("bad order")

    trio.run(first, nsqd, "t", "c", give_up)
    body, headers = trio.run(first, nsqd, "t.dead", "look", read)
    assert (body, headers["user"], headers["nsq-dead-error"]) == (b"poison", "1", "bad order")
    assert headers["nsq-dead-channel"] == "c"
