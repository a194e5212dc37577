from collections.abc import Callable

import anyio.lowlevel
import pytest
from tests.e2e.daemons import Daemon
from tests.fakes.fake_lookupd import fake_lookupd
from tests.nsqclient.backends import on_every_loop

from nsqclient import HttpError, LookupdHttp, NsqdHttp

Daemons = Callable[..., Daemon]


@pytest.mark.slow
@on_every_loop
async def test_nsqd_is_administered(daemon: Daemons):
    nsqd = daemon("nsqd")
    async with NsqdHttp(nsqd.http) as api:
        await api.ping()
        assert (await api.info())["tcp_port"] == nsqd.tcp_port
        await api.create_topic("orders")
        await api.create_channel("orders", "billing")
        await api.pause_channel("orders", "billing")
        await api.publish("orders", b"one")
        await api.publish("orders", b"later", defer=60)
        await api.publish_many("orders", [b"two\n", b"three"])

        async def channel() -> dict[str, object]:
            stats = await api.stats("orders", "billing", include_clients=False)
            found: dict[str, object] = stats["topics"][0]["channels"][0]
            return found

        assert (await channel())["paused"] is True
        while (await channel())["depth"] != 3:
            await anyio.lowlevel.checkpoint()
        await api.unpause_channel("orders", "billing")
        await api.empty_channel("orders", "billing")
        assert (await channel())["depth"] == 0
        await api.pause_topic("orders")
        await api.unpause_topic("orders")
        await api.empty_topic("orders")
        await api.delete_channel("orders", "billing")
        await api.delete_topic("orders")
        with pytest.raises(HttpError) as refused:
            await api.delete_topic("orders")
        assert (refused.value.status, refused.value.message) == (404, "TOPIC_NOT_FOUND")


@pytest.mark.slow
@on_every_loop
async def test_nsqd_taken_for_an_nsqlookupd_does_not_pass_for_one(daemon: Daemons):
    async with LookupdHttp(daemon("nsqd").http) as api:
        assert repr(api) == f"LookupdHttp(address='{api.address}', timeout=5.0, tls=None)"
        with pytest.raises(HttpError, match="/lookup: 404 NOT_FOUND"):
            await api.lookup("orders")


@pytest.mark.slow
@on_every_loop
async def test_nsqlookupd_is_asked_and_administered(daemon: Daemons):
    lookupd = daemon("nsqlookupd")
    async with LookupdHttp(lookupd.http) as api:
        await api.ping()
        assert "version" in await api.info()
        await api.create_topic("orders")
        await api.create_channel("orders", "billing")
        assert await api.topics() == ["orders"]
        assert await api.channels("orders") == ["billing"]
        found = await api.lookup("orders")
        assert (found.channels, found.producers) == (["billing"], [])
        assert (await api.lookup("unknown")).producers == []
        assert await api.nodes() == []
        await api.tombstone("orders", "nobody:1")
        await api.delete_channel("orders", "billing")
        await api.delete_topic("orders")
        assert await api.topics() == []


@on_every_loop
async def test_answers_of_old_servers_are_understood():
    async with fake_lookupd() as server, LookupdHttp(f"http://{server.address}/") as api:
        server.answers["/topics"] = b'{"status_code": 200, "data": {"topics": ["a"]}}'
        assert await api.topics() == ["a"]


@on_every_loop
async def test_addresses_of_producers_are_ready_to_dial():
    async with fake_lookupd() as server, LookupdHttp(server.address) as api:
        server.answers["/lookup?topic=a"] = (
            b'{"channels": null, "producers": [{"broadcast_address": "::1", "tcp_port": 4150}]}'
        )
        found = await api.lookup("a")
        assert [producer.tcp_address for producer in found.producers] == ["[::1]:4150"]


@on_every_loop
async def test_trouble_is_told_with_the_address():
    async with NsqdHttp("127.0.0.1:1") as api:
        with pytest.raises(HttpError, match=r"GET http://127.0.0.1:1/ping"):
            await api.ping()
    with pytest.raises(RuntimeError, match="open it first"):
        await NsqdHttp("127.0.0.1:1").ping()


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["none", "always"])
@on_every_loop
async def test_messages_are_seen_and_acted_on(daemon: Daemons, durability: str):
    nsqd = daemon("nsqd", f"--durability={durability}")
    async with NsqdHttp(nsqd.http) as api:
        await api.create_topic("orders")
        await api.create_channel("orders", "billing")
        await api.publish_many("orders", [b"m%d" % number for number in range(5)])
        await api.publish("orders", b"later", defer=60, headers={"user": "é:1", "nsq-x": "y"})

        async def ids(state: str = "queued", topic: str = "orders") -> dict[str, str]:
            channel = "billing" if topic == "orders" else None
            page = await api.list_messages(topic, channel, state=state, body="text")
            return {message["body"]: message["id"] for message in page["messages"]}

        found = await ids()
        assert sorted(found) == ["m0", "m1", "m2", "m3", "m4"]
        one = await api.get_message("orders", found["m1"], "billing", body="text")
        assert one["body"] == "m1"
        assert await api.message_body("orders", found["m1"], "billing") == b"m1"
        done = {"done": 1, "missing": []}
        assert await api.finish_messages("orders", [found["m0"]], "billing") == done
        assert await api.dead_letter_messages("orders", [found["m1"]], "billing") == done
        assert await api.copy_messages("orders", [found["m2"]], "billing", to="copies") == done
        late = await ids("deferred")
        headers = (await api.get_message("orders", late["later"], "billing")).get("headers")
        assert headers == (None if durability == "none" else {"user": "é:1"})
        assert await api.requeue_messages("orders", [late["later"]], "billing") == done
        assert sorted(await ids()) == ["later", "m2", "m3", "m4"]
        assert list(await ids(topic="copies")) == ["m2"]
        assert list(await ids(topic="orders.dead")) == ["m1"]
        with pytest.raises(HttpError, match="TOPIC_NOT_FOUND"):
            await api.list_messages("nobody")
