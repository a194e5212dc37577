import pytest

from nsqcore.metrics.statsd import Packets, expand_prefix, host_key


@pytest.mark.parametrize(
    ("host", "port", "key"),
    [
        ("127.0.0.1", 4151, "127_0_0_1_4151"),
        ("a.example.org", 1, "a_example_org_1"),
        ("::1", 4151, "[__1]_4151"),
    ],
)
def test_host_is_one_part_of_a_name(host, port, key):
    assert host_key(host, port) == key


@pytest.mark.parametrize(
    ("prefix", "expanded"),
    [
        ("nsq.%s", "nsq.h_1."),
        ("%s.%s.", "h_1.h_1."),
        ("my.pre", "my.pre."),
        ("my.", "my."),
        ("", ""),
    ],
)
def test_prefix_ends_with_a_dot(prefix, expanded):
    assert expand_prefix(prefix, "h_1") == expanded


def test_lines_have_name_value_and_type():
    packets = Packets("p.", 508)
    packets.count("a.message_count", 3)
    packets.gauge("a.depth", 0)

    assert packets.take() == [b"p.a.message_count:3|c\np.a.depth:0|g\n"]
    assert packets.take() == []


def test_packets_hold_as_many_whole_lines_as_fit():
    packets = Packets("", 20)
    for _ in range(5):
        packets.gauge("four", 12)  # ten bytes

    assert [len(packet) for packet in packets.take()] == [20, 20, 10]


def test_line_longer_than_a_packet_goes_alone():
    packets = Packets("", 20)
    packets.gauge("short", 1)
    packets.gauge("much-longer-than-a-packet", 1)
    packets.gauge("short", 2)

    assert packets.take() == [b"short:1|g\n", b"much-longer-than-a-packet:1|g\n", b"short:2|g\n"]
