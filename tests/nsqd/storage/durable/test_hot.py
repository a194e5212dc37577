"""Everything here runs on the pure module and, where it is built, on the compiled one, with the
checksum of the machine and with that of the tables."""

from itertools import pairwise
from struct import Struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.sources import source_of

from nsqcore.forms import is_compiled
from nsqd.storage.durable.format import hot as used
from nsqd.storage.durable.format.batches import encode_batch
from nsqd.storage.durable.format.entries import Kind, encode_entry

# The fixture holds a module, which no example changes.
same_module = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

FORMS = [pytest.param((source_of("nsqd.storage.durable.format.hot"), False), id="pure")]
if is_compiled("nsqd"):
    FORMS += [
        pytest.param((used, False), id="compiled"),
        pytest.param((used, True), id="by table"),
    ]


@pytest.fixture(params=FORMS)
def hot(request):
    module, by_table = request.param
    module.choose_checksum(by_table)
    yield module
    module.choose_checksum(False)


def by_definition(data: bytes) -> int:
    """The CRC-32C of ``data``, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_checksum_is_that_of_the_standard(hot):
    # RFC 3720, appendix B.4
    assert hot.crc32c(bytes(32)) == 0x8A9136AA
    assert hot.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert hot.crc32c(bytes(range(32))) == 0x46DD794E
    assert hot.crc32c(b"123456789") == 0xE3069283
    assert hot.crc32c(b"") == 0


@pytest.mark.slow
@same_module
@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_the_checksum_of_a_whole_is_that_of_its_parts(hot, data, cut):
    assert hot.crc32c(data) == by_definition(data)
    assert hot.extend_crc32c(hot.crc32c(data[:cut]), data[cut:]) == hot.crc32c(data)


@pytest.mark.parametrize("flipped", [None, *range(0, 8 * 36, 5), 8 * 36 + 1])
def test_entries_are_read_up_to_one_that_is_damaged(hot, flipped):
    entries = [b"".join(encode_entry(Kind.ACK, 7, n, [b"payload %d" % n])) for n in range(1, 4)]
    image = bytearray(b"head" + b"".join(entries))
    second = 4 + len(entries[0])
    if flipped is not None:
        image[second + flipped // 8] ^= 1 << flipped % 8

    found, at = hot.whole_entries(bytes(image) + b"rest", 4, 7, {2: "ack"})

    assert found == [
        (n, "ack", b"payload %d" % n) for n in ((1, 2, 3) if flipped is None else (1,))
    ]
    assert at == (len(image) if flipped is None else second)


def test_entries_of_another_use_or_kind_or_cut_off_are_not_read(hot):
    entry = b"".join(encode_entry(Kind.ACK, 1 << 40, 1 << 50, [b"payload"]))
    assert hot.whole_entries(entry, 0, 1 << 40, {2: 2}) == ([(1 << 50, 2, b"payload")], len(entry))
    assert hot.whole_entries(entry, 0, 1, {2: 2}) == ([], 0)
    assert hot.whole_entries(entry, 0, 1 << 40, {1: 1}) == ([], 0)
    for size in range(len(entry)):
        assert hot.whole_entries(entry[:size], 0, 1 << 40, {2: 2}) == ([], 0)


@pytest.mark.parametrize("check", [True, False])
def test_batches_are_read_up_to_one_that_is_damaged(hot, check):
    batches = [
        encode_batch([b"r" * 26, b"s" * 40], first=first, wall=-5, channel=3, due=1 << 60, flags=1)
        for first in (1 << 33, 3)
    ]
    size = len(batches[0])
    whole = [
        (0, size - 48, 2, 1 << 33, -5, 1, 3, 1 << 60),
        (size, size - 48, 2, 3, -5, 1, 3, 1 << 60),
    ]
    image = b"".join(batches)
    assert hot.whole_batches(image, 0, check) == (whole, 2 * size)
    for cut in range(size):
        assert hot.whole_batches(image[: size + cut], 0, check) == (whole[:1], size)
    for bit in range(8 * size):
        flipped = bytearray(image)
        flipped[size + bit // 8] ^= 1 << bit % 8
        found, at = hot.whole_batches(bytes(flipped), 0, check)
        damaged = check or bit < 8 * 48
        assert (found, at) == ((whole[:1], size) if damaged else (whole, 2 * size))


records = st.lists(st.binary(max_size=60), max_size=8)
seeds = st.integers(0, 0xFFFFFFFF)


@pytest.mark.slow
@same_module
@given(head=st.binary(max_size=9), records=records, seed=seeds)
def test_items_are_drawn_as_the_format_says_and_come_back(hot, head, records, seed):
    encoded = hot.encode_items(head, records, seed)

    drawn = head
    for record in records:
        length = len(record).to_bytes(4, "little")
        crc = by_definition(length + record) ^ seed
        drawn += length + crc.to_bytes(4, "little") + record
    assert encoded == drawn
    end = len(encoded)
    assert hot.decode_items(encoded, len(head), end, len(records), seed) == (records, end)


@pytest.mark.slow
@same_module
@given(records=records.filter(bool), seed=seeds, bit=st.integers(0), cut=st.integers(0))
def test_reading_ends_before_what_is_damaged_or_cut_off(hot, records, seed, bit, cut):
    encoded = bytearray(hot.encode_items(b"", records, seed))
    bit, cut = bit % (8 * len(encoded)), cut % (len(encoded) + 1)
    starts = [0]
    for record in records:
        starts.append(starts[-1] + 8 + len(record))
    encoded[bit >> 3] ^= 1 << (bit & 7)
    whole = max(n for n, start in enumerate(starts) if start <= min(bit >> 3, cut))

    found = hot.decode_items(bytes(encoded), 0, cut, len(records), seed)

    assert found == (records[:whole], starts[whole])


@pytest.mark.slow
@same_module
@given(
    numbers=st.lists(st.integers(0, 2**64 - 1), max_size=5), due=st.integers(-(2**63), 2**63 - 1)
)
def test_ids_and_deliveries_are_packed(hot, numbers, due):
    ids = [b"%016x" % number for number in numbers]
    packed = b"".join(number.to_bytes(8, "little") for number in numbers)
    assert hot.pack_ids(ids) == packed
    assert hot.pack_ids([id.upper() for id in ids]) == packed
    for attempts, fewer, left in ((1, 0, 1), (300, 1, 299), (0, 1, 0), (65535, 0, 32767)):
        delivered = [bytes(8) + attempts.to_bytes(2, "big") + id + b"body" for id in ids]
        ends = left.to_bytes(2, "little") + due.to_bytes(8, "little", signed=True)
        expected = b"".join(number.to_bytes(8, "little") + ends for number in numbers)
        assert hot.pack_deliveries(delivered, fewer, due) == expected


@pytest.mark.slow
@same_module
@given(
    numbers=st.lists(st.integers(0, 2**64 - 1), max_size=9),
    bounds=st.lists(st.integers(0, 2**64 - 1), max_size=4, unique=True).map(sorted),
)
def test_what_is_queued_is_packed_and_counted_by_where_it_lies(hot, numbers, bounds):
    records = [
        bytes(8) + (32768 + attempts).to_bytes(2, "big") + b"%016x" % number
        for attempts, number in enumerate(numbers)
    ]
    packed = hot.pack_queued(records)
    assert packed == b"".join(
        Struct("<QQHq").pack(number, 0, max(0, attempts - 1), 0)
        for attempts, number in enumerate(numbers)
    )
    ends = b"".join(bound.to_bytes(8, "little") for bound in bounds)
    edges = [0, *bounds, 2**64]
    assert hot.count_between(packed, ends) == [
        sum(low <= number < high for number in numbers) for low, high in pairwise(edges)
    ]


@pytest.mark.parametrize("id", [b"0123456789abcdeg", b"", b"0123456789abcde/"])
def test_what_is_no_id_is_refused(hot, id):
    with pytest.raises(ValueError, match=r"no id|invalid literal"):
        hot.pack_ids([id])
    with pytest.raises(ValueError, match=r"no id|invalid literal"):
        hot.pack_deliveries([bytes(10) + id], 0, 0)
