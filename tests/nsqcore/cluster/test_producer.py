import pytest

from nsqcore.cluster.producer import Producer, merge_producers, version_key


def nsqd(host="a", port=1, version="1.3.0", **more):
    return Producer(
        broadcast_address=host, http_port=port, tcp_port=port + 1, hostname=host, version=version,
        **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("0.3.8", "1.3.0"),
        ("1.3.0-rc.1", "1.3.0"),
        ("1.3.0-alpha", "1.3.0-rc.2"),
        ("1.9.0", "1.10.0"),
        ("nonsense", "0.0.1"),
    ],
)
def test_versions_are_ordered_as_semantic_versioning_says(older, newer):
    assert version_key(older) < version_key(newer)


def test_a_node_that_two_nsqlookupds_list_is_one_node_with_both():
    merged = merge_producers(
        [("l1:1", [nsqd(remote_address="r:9")]), ("l2:1", [nsqd(remote_address="")])]
    )
    assert [node.remote_addresses for node in merged] == [("l1:1/r:9", "l2:1/N/A")]


def test_nodes_older_than_the_newest_are_out_of_date():
    merged = merge_producers([("l", [nsqd("a", version="1.2.1"), nsqd("b", version="1.3.0")])])
    assert [node.out_of_date for node in merged] == [True, False]


def test_an_ipv6_address_has_brackets():
    assert nsqd("::1", 4151).http_address == "[::1]:4151"


def test_topics_are_sorted_and_keep_their_tombstones():
    producer = Producer.from_json({"topics": ["b", "a"], "tombstones": [True, False]})
    assert [(t.topic, t.tombstoned) for t in producer.topics] == [("a", False), ("b", True)]


def test_fields_of_a_wrong_type_count_as_missing():
    producer = Producer.from_json(
        {"http_port": "x", "hostname": 5, "topics": "t", "tombstones": 1, "tcp_port": 1e999}
    )
    assert (producer.http_port, producer.tcp_port, producer.hostname) == (0, 0, "")
