"""The formats of durable files: what is written is read, and one flipped bit costs one record."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqd.storage.durable.format.batches import encode_batch, find_header, read_batch, read_header
from nsqd.storage.durable.format.crc import crc32c
from nsqd.storage.durable.format.entries import (
    HEAD_SIZE,
    Head,
    Kind,
    UnknownFormat,
    encode_entry,
    scan,
)
from nsqd.storage.durable.format.hot import pack_deliveries, pack_ids
from nsqd.storage.durable.format.payloads import (
    decode_changes,
    decode_move,
    encode_channel,
    encode_move,
)
from nsqd.storage.durable.format.ranges import Ranges
from nsqd.storage.durable.log.log import Cursor
from nsqd.storage.durable.topics.parking import Parked
from nsqd.storage.durable.topics.state import BadState, ChannelState, InHand, TopicState


def records(count: int, size: int = 40) -> list[bytes]:
    chance = random.Random(count)
    return [
        number.to_bytes(8, "big") + b"\0\1" + b"%016x" % number + chance.randbytes(size)
        for number in range(1, count + 1)
    ]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)


@pytest.mark.slow
def test_one_flipped_bit_anywhere_in_a_batch_costs_at_most_one_record():
    written = records(6)
    data = encode_batch(written, first=100, wall=7, due=9, channel=3)
    header = read_header(data, 0)
    assert header is not None
    for bit in range(8 * len(data)):
        damaged = flipped(data, bit)
        assert read_header(damaged, 0) == header
        batch = read_batch(damaged, 0, header)
        assert batch.damaged <= 1
        assert all(written[ordinal - 100] == record for ordinal, record in batch.records.items())


def test_a_batch_cut_off_anywhere_yields_the_records_that_are_whole():
    written = records(5)
    data = encode_batch(written, first=1, wall=0)
    header = read_header(data, 0)
    assert header is not None
    for length in range(len(data)):
        batch = read_batch(data[:length], 0, header)
        assert list(batch.records.values()) == written[: len(batch.records)]


def test_what_an_earlier_use_of_a_file_left_is_not_taken_for_records():
    old = encode_batch(records(8), first=1, wall=5)
    new = encode_batch(records(8, size=41), first=9, wall=6)
    header = read_header(new, 0)
    assert header is not None
    torn = new[:200] + old[200 : len(old)] + bytes(len(new) - len(old))
    found = read_batch(torn, 0, header).records
    written = records(8, size=41)
    assert all(written[ordinal - 9] == record for ordinal, record in found.items())


def test_the_next_header_is_found_behind_damage():
    data = encode_batch(records(1), first=1, wall=0)
    assert find_header(b"noise" + data[:30] + data, 0) == 35


@pytest.mark.slow
def test_one_flipped_bit_anywhere_in_a_journal_file_costs_no_entry_but_its_payload():
    image = Head(1 << 14, 3, 1, b"u" * 16).encode()
    for number in (1, 2, 3):
        image += b"".join(encode_entry(Kind.ACK, 3, number, [b"payload", b"%d" % number]))
    image += bytes(300)
    end = scan(image, 3).end
    for bit in range(8 * HEAD_SIZE, 8 * end):
        found = scan(flipped(image, bit), 3)
        assert [entry.number for entry in found.entries] == [1, 2, 3]
        assert sum(not entry.whole for entry in found.entries) <= 1
    for bit in range(8 * 52):
        assert Head.decode(flipped(image, bit)) == Head(1 << 14, 3, 1, b"u" * 16)


def test_entries_of_an_earlier_use_of_the_file_are_passed_over():
    image = Head(1 << 14, 4, 1, b"u" * 16).encode()
    image += b"".join(encode_entry(Kind.ACK, 4, 9, [b"new"]))
    image += b"".join(encode_entry(Kind.ACK, 3, 8, [b"old"]))
    found = scan(image, 4)
    assert [entry.number for entry in found.entries] == [9]
    assert not found.damaged


def test_a_hole_in_the_journal_is_told_and_ends_nothing():
    first, second, third = (
        b"".join(encode_entry(Kind.ACK, 1, number, [b"x" * 700])) for number in (1, 2, 3)
    )
    image = Head(1 << 14, 1, 1, b"u" * 16).encode() + first + bytes(len(second)) + third
    found = scan(image, 1)
    assert [entry.number for entry in found.entries] == [1, 3]
    start = HEAD_SIZE + len(first)
    assert found.damaged == [(start, start + len(second))]


def test_a_journal_of_a_newer_format_is_refused():
    head = bytearray(Head(1 << 14, 1, 1, b"u" * 16).encode())
    head[8] = 3
    head[52:56] = crc32c(bytes(head[:52])).to_bytes(4, "little")
    with pytest.raises(UnknownFormat, match="format 3"):
        Head.decode(bytes(head))


def test_what_a_channel_has_finished_comes_back_as_it_was():
    payload = encode_channel(7, 8) + pack_ids([b"0000000000000001", b"8000000000000000"])
    assert decode_changes(Kind.ACK, payload) == (7, 8, [(1, 0, 0), (2**63, 0, 0)])


@pytest.mark.parametrize("kind", [Kind.BACK, Kind.SENT])
@pytest.mark.parametrize("due", [0, 3, -1])
def test_what_a_channel_has_delivered_comes_back_as_it_was(kind: Kind, due: int):
    delivered = [
        bytes(8) + attempts.to_bytes(2, "big") + b"%016x" % id
        for id, attempts in ((1, 2), (2**63, 32767))
    ]
    payload = encode_channel(7, 8) + pack_deliveries(delivered, 1, due)
    assert decode_changes(kind, payload) == (7, 8, [(1, 1, due), (2**63, 32766, due)])


def test_what_happens_together_comes_back_in_order():
    move = b"".join(encode_move([(Kind.BATCH, [b"a", b"bc"]), (Kind.ACK, [b""])]))
    assert list(decode_move(move)) == [(Kind.BATCH, b"abc"), (Kind.ACK, b"")]


def test_a_state_file_comes_back_as_it_was_and_every_damage_is_seen():
    state = TopicState(
        1,
        "t",
        includes=5,
        holes=[(3, 4)],
        channels=[
            ChannelState(
                2,
                "c",
                cursor=Cursor(5, 1, 99),
                live={7: InHand(0, 2, 0), 9: InHand(3, 0, 5)},
                done={12, 13},
                skips=Ranges([(7, 9)]),
            )
        ],
    )
    data = state.encode()
    found = TopicState.decode(data)
    assert found.encode() == data
    assert found.channels[0].live == {7: InHand(0, 2, 0)}
    assert list(found.channels[0].waiting) == [Parked(9, 3, 0, 5)]
    for bit in range(0, 8 * len(data), 7):
        with pytest.raises(BadState):
            TopicState.decode(flipped(data, bit))


def test_ranges_are_added_taken_out_and_counted():
    ranges = Ranges()
    ranges.add(5, 8)
    ranges.add(1, 3)
    ranges.add(3, 4)
    assert ranges.ranges == [(1, 4), (5, 8)]
    assert ranges.count(2, 6) == 3
    assert ranges.count_both(Ranges([(4, 6)]), 1, 8) == 7
    ranges.remove(2, 6)
    assert ranges.ranges == [(1, 2), (6, 8)]
    ranges.forget_before(7)
    assert ranges.ranges == [(7, 8)]
    assert 7 in ranges
    assert 8 not in ranges


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("arf"), st.integers(0, 30), st.integers(1, 9))))
def test_ranges_are_what_a_set_of_their_ordinals_is(steps):
    ranges, model = Ranges(), set()
    other = Ranges([(3, 9), (12, 13), (20, 28)])
    for what, first, count in steps:
        some = set(range(first, first + count))
        if what == "a":
            ranges.add(first, first + count)
            model |= some
        elif what == "r":
            ranges.remove(first, first + count)
            model -= some
        else:
            ranges.forget_before(first)
            model -= set(range(first))
        assert {each for each in range(45) if each in ranges} == model
        assert all(high < low for (_, high), (low, _) in pairwise(ranges.ranges))
        assert ranges.count(first, first + count) == len(model & some)
        both = {each for each in some if each in other} | (model & some)
        assert ranges.count_both(other, first, first + count) == len(both)
