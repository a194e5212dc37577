from tests.fakes.fake_cluster import channel, client, topic

from nsqcore.cluster.merge import merge_channel, merge_topic
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.stats import TopicStats

NOW = 1_800_000_000_000_000_000


def on(host, raw):
    producer = Producer(
        broadcast_address=host, http_port=4151, hostname=host, topology_region="r",
        topology_zone="z",
    )  # fmt: skip
    return TopicStats.from_json(raw, producer)


def test_a_topic_on_two_nodes_is_their_sum_with_the_parts():
    parts = [
        on("b", topic("t", depth=2, backend_depth=1, message_count=5)),
        on("a", topic("t", depth=3, message_count=6, paused=True)),
    ]
    whole = merge_topic("t", parts).to_json(NOW)
    assert (whole["node"], whole["depth"], whole["memory_depth"]) == ("*", 5, 4)
    assert (whole["message_count"], whole["paused"]) == (11, True)
    assert [part["node"] for part in whole["nodes"]] == ["a:4151", "b:4151"]


def test_a_channel_on_two_nodes_is_summed_and_lists_all_clients():
    parts = [
        on(host, topic("t", [channel("c", [client(n)], depth=n + 1, in_flight_count=1)]))
        for n, host in enumerate("ab")
    ]
    merged = merge_channel([part.channels[0] for part in parts])
    assert (merged.depth, merged.in_flight_count, merged.client_count) == (3, 2, 2)
    assert [c.hostname for c in merged.clients or ()] == ["worker-0", "worker-1"]
    assert merged.to_json(NOW)["e2e_processing_latency"]["host"] == "*"


def test_summing_changes_no_part():
    parts = [on(host, topic("t", [channel("c", depth=1)])) for host in "ab"]
    merge_topic("t", parts)
    assert [part.channels[0].depth for part in parts] == [1, 1]
    assert merge_topic("t", parts).channels[0].depth == 2


def test_clients_not_asked_for_are_null():
    raw = topic("t", [channel("c", client_count=3) | {"clients": None}])
    part = on("a", raw).channels[0]
    assert part.client_count == 3
    assert part.to_json(NOW)["clients"] is None


def test_near_clients_come_first():
    near = client(1, topology_region="r", topology_zone="z")
    same_region = client(2, topology_region="r", topology_zone="y")
    far = client(3, topology_region="q", topology_zone="z")
    found = on("a", topic("t", [channel("c", [far, same_region, near])])).channels[0].clients
    assert found is not None
    order = sorted(found, key=lambda item: item.locality)
    assert [item.client_id for item in order] == ["c1", "c2", "c3"]
    assert [item.zone_local for item in order] == [True, False, False]
    assert [item.region_local for item in order] == [True, True, False]


def test_the_time_since_a_client_connected_is_in_whole_seconds():
    found = on("a", topic("t", [channel("c", [client(connect_ts=1_799_999_990)])]))
    (shown,) = found.to_json(NOW + 5)["channels"][0]["clients"]
    assert shown["connected"] == 10_000_000_000


DURABLE = {"durability": "always", "promise": "on disk"}


def test_a_plain_topic_has_no_promise_and_its_json_no_word_of_it():
    whole = merge_topic("t", [on("a", topic("t")), on("b", topic("t") | {"durability": "none"})])
    assert (whole.durability, whole.promise) == ("", "")
    assert not {"durability", "promise"} & set(whole.to_json(NOW))


def test_a_topic_promises_what_all_its_nodes_promise_and_else_it_is_said_that_they_differ():
    alike = merge_topic("t", [on(host, topic("t") | DURABLE) for host in "ab"])
    assert (alike.durability, alike.promise) == ("always", "on disk")
    assert alike.to_json(NOW)["promise"] == "on disk"
    cached = {"durability": "os", "promise": "in the system's cache"}
    other = merge_topic("t", [on("a", topic("t") | DURABLE), on("b", topic("t") | cached)])
    assert (other.durability, other.promise) == ("os", "in the system's cache or on disk")
    mixed = merge_topic("t", [on("a", topic("t") | DURABLE), on("b", topic("t"))])
    assert (mixed.durability, mixed.promise) == ("none", "in memory or on disk")
