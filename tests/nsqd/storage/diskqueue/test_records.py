import struct

import pytest

from nsqd.storage.diskqueue.records import decode_disk_records, encode_disk_records, size_at

LARGEST = 10_000


def decode(buffer, position=0, limit=1000):
    return decode_disk_records(bytes(buffer), position, limit, LARGEST)


def test_new_message_is_stored_with_no_deliveries(make_record, make_stored):
    assert encode_disk_records([make_record(1), make_record(2)]) == make_stored(1) + make_stored(2)


@pytest.mark.parametrize("attempts", [1, 2, 255, 256, 257, 512, 0xFFFF])
def test_stored_deliveries_are_one_less_than_the_delivery_to_come(
    attempts, make_record, make_stored
):
    mine, other = make_record(1, attempts=attempts), make_record(2)
    encoded = encode_disk_records([mine, other])

    assert encoded == make_stored(1, deliveries=attempts - 1) + make_stored(2)
    assert decode(encoded)[0] == [mine, other]


def test_attempts_stop_at_what_the_field_holds(make_record, make_stored):
    assert decode(make_stored(1, deliveries=0xFFFF))[0] == [make_record(1, attempts=0xFFFF)]


def test_record_without_a_delivery_to_come_is_stored_as_it_is(make_record, make_stored):
    assert encode_disk_records([make_record(1, attempts=0)]) == make_stored(1)


def test_decoding_stops_at_the_limit_and_goes_on_from_there(make_record):
    records = [make_record(number) for number in range(5)]
    encoded = encode_disk_records(records)
    first, position = decode(encoded, limit=3)
    rest, end = decode(encoded, position)

    assert first + rest == records
    assert end == len(encoded)


def test_decoding_stops_before_a_record_that_is_not_all_there(make_record):
    first, second = make_record(1), make_record(2, body=b"")
    encoded = bytes(encode_disk_records([first, second]))
    whole = len(encode_disk_records([first]))
    for cut in range(whole, len(encoded)):
        assert decode(encoded[:cut]) == ([first], whole)


@pytest.mark.parametrize("size", [-1, 0, 25, LARGEST + 1, 2**31 - 1, -(2**31)])
def test_decoding_stops_at_an_impossible_size(size, make_record, make_stored):
    buffer = make_stored(1) + struct.pack(">i", size) + bytes(100)

    records, position = decode(buffer)

    assert records == [make_record(1)]
    assert size_at(buffer, position) == size


def test_size_that_is_cut_off_is_unknown():
    assert size_at(b"\x00\x00\x00", 0) is None
