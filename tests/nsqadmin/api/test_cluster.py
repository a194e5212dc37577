"""The JSON API, as scripts of the original know it."""

import gzip
import json

import pytest
from tests.fakes.fake_cluster import channel, client, topic
from tests.fakes.fake_nsqd import FakeNsqd


async def test_topics_are_listed_from_nsqlookupd(site):
    async with site() as s:
        assert await s.json("/api/topics") == {"topics": ["forgotten", "orders"], "message": ""}


async def test_no_topics_are_null_as_in_the_original(site):
    async with site([], nsqlookupd_http_addresses=()) as s:
        s.lookupd.inactive.clear()
        s.admin.options = s.admin.options.__class__(nsqlookupd_http_addresses=(s.lookupd.address,))
        assert await s.json("/api/topics") == {"topics": None, "message": ""}


async def test_inactive_topics_come_with_their_channels(site):
    async with site() as s:
        s.lookupd.inactive["bare"] = []
        found = await s.json("/api/topics?inactive=true")
        assert found == {"topics": {"bare": None, "forgotten": ["old"]}, "message": ""}


async def test_a_topic_is_summed_over_its_nodes(site):
    async with site() as s:
        found = await s.json("/api/topics/orders")
    assert (found["node"], found["message_count"], found["depth"]) == ("*", 20, 1)
    assert [node["hostname"] for node in found["nodes"]] == ["host-0", "host-1"]
    assert [c["channel_name"] for c in found["channels"]] == ["archive", "billing"]


async def test_a_channel_lists_the_clients_of_all_nodes(site):
    async with site() as s:
        found = await s.json("/api/topics/orders/billing")
    assert (found["client_count"], found["depth"], found["message"]) == (2, 6, "")
    assert sorted(c["client_id"] for c in found["clients"]) == ["c0", "c1"]


async def test_an_unknown_channel_is_not_found(site):
    async with site() as s:
        assert await s.json("/api/topics/orders/nothing", 404) == {"message": "CHANNEL_NOT_FOUND"}


async def test_a_node_that_failed_is_named_in_the_message(site):
    async with site() as s:
        s.nsqds[1].broken = True
        found = await s.json("/api/topics/orders")
        assert found["message"].startswith("WARNING: ")
        assert s.nsqds[1].address in found["message"]


async def test_nobody_answering_is_an_upstream_error(site):
    async with site() as s:
        s.lookupd.broken = True
        for path in ("/api/topics", "/api/topics/orders", "/api/nodes", "/api/counter"):
            found = await s.json(path, 502)
            assert found["message"].startswith("UPSTREAM_ERROR: failed to query any nsqlookupd")


async def test_a_node_is_found_by_its_http_address_alone(site):
    async with site() as s:
        found = await s.json(f"/api/nodes/{s.nsqds[0].address}")
        assert (found["total_messages"], found["total_clients"]) == (10, 1)
        assert await s.json("/api/nodes/127.0.0.1:1", 404) == {"message": "NODE_NOT_FOUND"}


async def test_the_counter_has_a_line_per_channel_and_node(site):
    nsqds = [FakeNsqd([topic("t", [channel("c", message_count=5), channel("d")])])]
    async with site(nsqds) as s:
        stats = (await s.json("/api/counter"))["stats"]
        node = s.nsqds[0].address
        assert stats[f"t:c:{node}"] == {
            "node": node, "topic_name": "t", "channel_name": "c", "message_count": 5,
        }  # fmt: skip
        assert len(stats) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"topic": "a b"}', "INVALID_TOPIC"),
        ("{}", "INVALID_TOPIC"),
        ("null", "INVALID_TOPIC"),
        ('{"topic": "t", "channel": "a b"}', "INVALID_CHANNEL"),
        ('{"topic": 5}', "invalid JSON: topic must be a string"),
        ("[]", "invalid JSON: expected an object"),
    ],
)
async def test_what_cannot_be_created_is_refused(site, body, message):
    async with site() as s:
        response = await s.client.post("/api/topics", data=body)
        assert (response.status_code, await response.get_json()) == (400, {"message": message})


async def test_keys_of_a_body_may_be_capital_and_what_follows_it_does_not_matter(site):
    async with site() as s:
        body = '{"Topic": "fresh"} and more'
        assert (await s.client.post("/api/topics", data=body)).status_code == 200
        assert "fresh" in s.lookupd.inactive


async def test_an_unknown_action_is_refused(site):
    async with site() as s:
        response = await s.client.post("/api/topics/orders", data='{"action": "explode"}')
        assert (response.status_code, await response.get_json()) == (
            400,
            {"message": "INVALID_ACTION"},
        )


async def test_scripts_need_no_content_type(site):
    async with site() as s:
        for kind in ("application/x-www-form-urlencoded", "application/json", "text/plain"):
            response = await s.client.post(
                "/api/topics/orders", data='{"action": "pause"}', headers={"Content-Type": kind}
            )
            assert (response.status_code, await response.get_json()) == (200, {"message": ""})


async def test_a_node_is_tombstoned(site):
    async with site() as s:
        node = s.nsqds[0].address
        response = await s.client.delete(f"/api/nodes/{node}", data='{"topic": "orders"}')
        assert response.status_code == 200
        assert s.nsqds[0].topics == []
        assert s.nsqds[1].topics


async def test_errors_of_the_api_are_json_for_browsers_too(site):
    async with site() as s:
        response = await s.client.get("/api/nowhere", headers={"Accept": "text/html"})
        assert (response.status_code, await response.get_json()) == (404, {"message": "NOT_FOUND"})
        response = await s.client.put("/api/topics")
        assert (response.status_code, await response.get_json()) == (
            405,
            {"message": "METHOD_NOT_ALLOWED"},
        )
        assert response.headers["X-NSQ-Content-Type"] == "nsq; version=1.0"
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


async def test_answers_are_compressed_for_who_can_read_that(site):
    async with site() as s:
        response = await s.client.get("/api/topics", headers={"Accept-Encoding": "br, gzip"})
        assert response.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(await response.get_data()))["topics"]
        response = await s.client.get("/api/topics", headers={"Accept-Encoding": "gzip;q=0"})
        assert "Content-Encoding" not in response.headers


async def test_a_body_beyond_the_limit_is_refused(site):
    async with site() as s:
        response = await s.client.post("/api/topics", data=b"x" * (1024 * 1024 + 1))
        assert response.status_code == 413


async def test_clients_are_told_with_the_time_they_are_connected(site):
    nsqds = [FakeNsqd([topic("t", [channel("c", [client()])])])]
    async with site(nsqds) as s:
        (found,) = (await s.json("/api/topics/t/c"))["clients"]
        assert found["connected"] % 1_000_000_000 == 0
        assert 55 <= found["connected"] // 1_000_000_000 <= 65


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/topics", "/api/topics", "/api/topics/orders", "/ping"])
@pytest.mark.parametrize("base", ["/", "/nsq"])
async def test_a_slash_too_many_leads_to_what_was_meant(site, base, path):
    async with site(base_path=base) as s:
        meant = base.rstrip("/") + path
        response = await s.client.get(f"{meant}/?a=b%20c")
        assert (response.status_code, response.headers["Location"]) == (301, f"{meant}?a=b%20c")
        response = await s.client.get(f"{base.rstrip('/')}/nowhere/")
        assert response.status_code == 404


async def test_a_base_path_may_end_in_a_slash(site):
    async with site(base_path="/nsq") as s:
        response = await s.client.get("/nsq/")
        assert (response.status_code, response.headers["Location"]) == (301, "/nsq")


async def test_numbers_are_integers_where_they_can_be(site):
    latency = {"count": 2, "percentiles": [{"quantile": 0.99, "value": 12000000.0}]}
    nsqd = FakeNsqd([topic("t", [], e2e_processing_latency=latency)])
    async with site([nsqd]) as s:
        text = await (await s.client.get("/api/topics/t")).get_data(as_text=True)
    assert '"quantile":0.99,"min":12000000,' in text


async def test_a_node_without_channels_of_a_topic_has_an_empty_list(site):
    async with site([FakeNsqd([topic("t", [])])]) as s:
        found = await s.json("/api/topics/t")
        assert (found["channels"], found["nodes"][0]["channels"]) == (None, [])
        (found,) = (await s.json(f"/api/nodes/{s.nsqds[0].address}"))["topics"]
        assert found["channels"] == []


@pytest.mark.parametrize("query", ["inactive=%zz", "a=1;b=2"])
async def test_a_query_that_cannot_be_decoded_is_refused(site, query):
    async with site() as s:
        for path in ("/api/topics", "/api/graphite"):
            assert await s.json(f"{path}?{query}", 400) == {"message": "INVALID_REQUEST"}


@pytest.mark.parametrize("path", ["/api/topics/%zz", "/topics/50%", "/api/nodes/%4"])
async def test_a_path_that_cannot_be_decoded_is_refused(site, path):
    async with site() as s:
        assert await s.json(path, 400) == {"message": "INVALID_REQUEST"}


async def test_a_page_that_made_its_name_point_here_gets_nothing(site):
    async with site(allowed_hosts=("nsq.example",)) as s:
        forged = {"Host": "evil.example", "Origin": "http://evil.example"}
        for method, path in (("GET", "/api/topics"), ("POST", "/api/topics/orders"), ("GET", "/")):
            response = await s.client.open(
                path, method=method, headers=forged, json={"action": "pause"}
            )
            assert response.status_code == 403
        assert not s.nsqds[0].topics[0]["paused"]
        for host in ("nsq.example", "127.0.0.1:4171"):
            response = await s.client.get("/api/topics", headers={"Host": host})
            assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/api/topics/orders", '{"action":"empty"}', "refused empty_topic orders"),
        ("POST", "/api/topics/orders/billing", '{"action":"unpause"}',
         "refused unpause_channel orders/billing"),
        ("POST", "/api/topics", '{"topic":"new","channel":"c"}', "refused create_channel new/c"),
        ("DELETE", "/api/topics/orders", "", "refused delete_topic orders"),
        ("DELETE", "/api/nodes/a:1", '{"topic":"orders"}',
         "refused tombstone_topic_producer orders on a:1"),
        ("POST", "/api/topics/orders", "no JSON", "refused act_topic orders"),
        ("POST", "/api/topics/or%0Aders", '{"action":"a\\nb"}', "refused a?b_topic or?ders"),
    ],
)  # fmt: skip
async def test_a_refused_action_is_logged_with_its_verb_and_target(
    site, caplog, method, path, body, told
):
    async with site(admin_users=("ann",)) as s:
        response = await s.client.open(
            path, method=method, data=body, headers={"X-Forwarded-User": "eve"}
        )
        assert response.status_code == 403
    assert f"user(eve): {told} from " in caplog.text


@pytest.mark.slow
async def test_only_nodes_that_have_the_channel_are_asked(site):
    nsqds = [
        FakeNsqd([topic("t", [channel("c", depth=1)])], hostname="has"),
        FakeNsqd([topic("t", [channel("other")])], hostname="has-not"),
    ]
    async with site(nsqds) as s:
        for verb in ("pause", "unpause", "empty"):
            response = await s.client.post("/api/topics/t/c", data=f'{{"action":"{verb}"}}')
            assert await response.get_json() == {"message": ""}
        response = await s.client.delete("/api/topics/t/c")
        assert await response.get_json() == {"message": ""}
        assert not [a for a in s.nsqds[1].server.asked if a.path.startswith("/channel/")]


async def test_an_answer_from_nobody_has_a_reason(site):
    async with site() as s:
        told = (await s.json("/api/topics/forgotten", 502))["message"]
        assert told == "UPSTREAM_ERROR: failed to query any nsqd: there is none to ask"
