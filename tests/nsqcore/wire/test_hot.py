"""Everything here runs on the source of the module and, where it is built, on the compiled one."""

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.sources import source_of

from nsqcore.forms import is_compiled
from nsqcore.wire import hot as used

# The fixture holds a module, which no example changes.
same_module = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

STAMP = struct.pack(">qH", 1_700_000_000_000_000_000, 1)
IDS = b"0123456789abcdef" + b"fedcba9876543210"


FORMS = [pytest.param(source_of("nsqcore.wire.hot"), id="pure")]
if is_compiled():
    FORMS.append(pytest.param(used, id="compiled"))


@pytest.fixture(params=FORMS)
def hot(request):
    return request.param


def record(body, id=b"0123456789abcdef"):
    return STAMP + id + body


def test_message_frames_stand_one_after_the_other(hot):
    one, empty = record(b"one"), record(b"")
    assert hot.encode_messages([one, empty]) == (
        b"\0\0\0\x21\0\0\0\x02" + one + b"\0\0\0\x1e\0\0\0\x02" + empty
    )
    assert hot.encode_messages([]) == b""


def test_messages_of_thousands_of_lengths_are_framed_alike(hot):
    # more lengths than are remembered, each seen twice
    for _ in range(2):
        for length in range(0, 5000, 7):
            one = record(bytes(length))
            assert hot.encode_messages([one])[:8] == struct.pack(">ii", length + 30, 2)
    lengths = range(5000)
    frames = hot.encode_messages([record(bytes(length)) for length in lengths])
    assert len(frames) == sum(length + 34 for length in lengths)


def test_new_records_are_stamp_id_and_body(hot):
    assert hot.make_records([b"a"], STAMP, IDS[:16]) == [record(b"a")]
    assert hot.make_records([b"a", b""], STAMP, IDS) == [record(b"a"), record(b"", IDS[16:])]
    assert hot.make_records([b"", b""], STAMP, IDS) == [record(b""), record(b"", IDS[16:])]
    assert hot.make_records([], STAMP, b"") == []


def test_too_few_ids_are_refused(hot):
    with pytest.raises(ValueError):  # noqa: PT011 - the wording is the interpreter's
        hot.make_records([b"a", b"b", b"c"], STAMP, IDS)


def test_held_records_are_found_by_id_until_released(hot):
    first, second = record(b"1"), record(b"2", IDS[16:])
    in_flight = {}
    hot.hold([first, second], in_flight)
    assert in_flight == {IDS[:16]: first, IDS[16:]: second}
    assert hot.release([IDS[:16]], in_flight) == []
    assert in_flight == {IDS[16:]: second}


def test_release_tells_what_was_not_held_in_order_and_frees_the_rest(hot):
    in_flight = {}
    hot.hold([record(b"1")], in_flight)
    held, strange = IDS[:16], b"x" * 16
    assert hot.release([strange, held, held, IDS[16:]], in_flight) == [strange, held, IDS[16:]]
    assert in_flight == {}
    assert hot.release([], in_flight) == []


def test_a_run_of_fins_is_split_into_ids(hot):
    lines = b"FIN " + IDS[:16] + b"\nFIN " + IDS[16:] + b"\n"
    buffer = b"NOP\n" + lines + b"FIN"
    assert hot.split_fin_run(buffer, 4) == [IDS[:16], IDS[16:]]
    assert hot.split_fin_run(buffer[:45], 4) == [IDS[:16]]
    assert hot.split_fin_run(buffer, 0) == []
    assert hot.split_fin_run(buffer, len(buffer)) == []


@pytest.mark.parametrize("bad", [b" ", b"\r", b"\n"])
@pytest.mark.parametrize("at", range(16))
def test_a_run_of_fins_ends_before_an_id_that_is_none(hot, bad, at):
    lines = b"FIN " + IDS[:16] + b"\nFIN " + IDS[16 : 16 + at] + bad + IDS[17 + at :] + b"\n"
    assert hot.split_fin_run(lines, 0) == [IDS[:16]]


def test_a_run_of_reqs_is_split_into_ids(hot):
    buffer = b"NOP\nREQ %b 0\nREQ %b 0\nREQ %b 7\n" % (IDS[:16], IDS[16:], IDS[:16])
    assert hot.split_id_run(buffer, 4, b"REQ ", b" 0\n") == [IDS[:16], IDS[16:]]
    assert hot.split_id_run(buffer[:49], 4, b"REQ ", b" 0\n") == [IDS[:16]]
    assert hot.split_id_run(buffer, 0, b"REQ ", b" 0\n") == []
    assert hot.split_id_run(buffer, len(buffer), b"REQ ", b" 0\n") == []


@pytest.mark.parametrize("bad", [b" ", b"\r", b"\n"])
@pytest.mark.parametrize("at", range(16))
def test_a_run_of_terms_ends_before_an_id_that_is_none(hot, bad, at):
    lines = b"TERM " + IDS[:16] + b"\nTERM " + IDS[16 : 16 + at] + bad + IDS[17 + at :] + b"\n"
    assert hot.split_id_run(lines, 0, b"TERM ", b"\n") == [IDS[:16]]


@pytest.mark.parametrize("line", [b"fin ", b"FIX ", b"FIN\t", b"XIN "])
def test_other_lines_of_that_length_are_no_fins(hot, line):
    assert hot.split_fin_run(line + IDS[:16] + b"\n", 0) == []
    assert hot.split_fin_run(b"FIN " + IDS[:16] + b"\r\n", 0) == []


def test_publishes_with_one_line_are_split_into_bodies(hot):
    line = b"PUB t\n"
    run = line + sized(b"abc") + line + sized(b"defg")
    for end in range(len(run) + 1):
        bodies = []
        stop = hot.split_publishes(b"x" + run[:end], 1, line, 10, bodies)
        whole = (end >= 13) + (end >= 27)
        assert bodies == [b"abc", b"defg"][:whole]
        assert stop == [1, 14, 28][whole]


@pytest.mark.parametrize("size", [0, -1, -(2**31), 4, 2**31 - 1])
def test_splitting_publishes_stops_at_an_impossible_size(hot, size):
    buffer, bodies = b"P\n" + sized(b"abc") + b"P\n" + struct.pack(">i", size) + bytes(9), []
    assert hot.split_publishes(buffer, 0, b"P\n", 3, bodies) == 9
    assert bodies == [b"abc"]


def test_splitting_publishes_stops_at_another_line(hot):
    bodies = []
    assert (
        hot.split_publishes(b"P\n" + sized(b"a") + b"Q\n" + sized(b"b"), 0, b"P\n", 9, bodies) == 7
    )
    assert bodies == [b"a"]


@pytest.mark.slow
@same_module
@given(first=st.integers(0, 2**64 - 200), count=st.integers(0, 200))
def test_ids_are_the_numbers_in_hex(hot, first, count):
    wanted = b"".join(b"%016x" % number for number in range(first, first + count))
    assert hot.hex_ids(first, count) == wanted


@pytest.mark.slow
@same_module
@given(
    records=st.lists(
        st.tuples(st.integers(1, 0xFFFF), st.binary(max_size=40)).map(
            lambda made: STAMP[:8] + made[0].to_bytes(2, "big") + IDS[:16] + made[1]
        )
    ),
    extra=st.binary(max_size=3),
)
def test_records_come_back_from_the_disk_as_they_were_put_there(hot, records, extra):
    encoded = bytes(hot.encode_disk_records(records))
    assert encoded == b"".join(
        struct.pack(">i8sH", len(record), record[:8], int.from_bytes(record[8:10], "big") - 1)
        + record[10:]
        for record in records
    )
    buffer = b"before" + encoded + extra
    assert hot.decode_disk_records(buffer, 6, len(records) + 1, 100) == (records, 6 + len(encoded))
    assert hot.decode_disk_records(buffer, 6, 0, 100) == ([], 6)


def sized(*bodies):
    return b"".join(struct.pack(">i", len(body)) + body for body in bodies)


def test_bodies_are_split_up_to_the_count_wanted(hot):
    buffer = b"head" + sized(b"a", b"bcd", b"ef")
    bodies = [b"before"]
    assert hot.split_bodies(buffer, 4, len(buffer), 2, 10, bodies) == 4 + 5 + 7
    assert bodies == [b"before", b"a", b"bcd"]


@pytest.mark.parametrize(
    "bad", [struct.pack(">i", size) for size in (0, -1, -(2**31), 11, 2**31 - 1)]
)
def test_splitting_stops_at_an_impossible_size(hot, bad):
    buffer, bodies = sized(b"good") + bad + bytes(100), []
    assert hot.split_bodies(buffer, 0, len(buffer), 9, 10, bodies) == 8
    assert bodies == [b"good"]


def test_splitting_stops_at_the_first_body_that_is_not_whole(hot):
    buffer = sized(b"abc", b"defg")
    for end in range(len(buffer) + 1):
        bodies = []
        stop = hot.split_bodies(buffer, 0, end, 9, 10, bodies)
        whole = (end >= 7) + (end >= 15)
        assert bodies == [b"abc", b"defg"][:whole]
        assert stop == [0, 7, 15][whole]


@pytest.mark.slow
@same_module
@given(bodies=st.lists(st.binary(min_size=1, max_size=30)), extra=st.binary(max_size=3))
def test_bodies_of_any_content_come_out_as_they_went_in(hot, bodies, extra):
    buffer, found = sized(*bodies) + extra, []
    stop = hot.split_bodies(buffer, 0, len(buffer), len(bodies) + 1, 30, found)
    assert found == bodies
    assert buffer[stop:] == extra


def stored(deliveries):
    return struct.pack(">i8sH", 27, STAMP[:8], deliveries) + IDS[:16] + b"x"


@pytest.mark.parametrize(
    ("deliveries", "following"),
    [(0, 1), (254, 255), (255, 256), (0xFFFE, 0xFFFF), (0xFFFF, 0xFFFF)],
)
def test_a_record_from_disk_counts_the_delivery_to_come(hot, deliveries, following):
    records, _ = hot.decode_disk_records(stored(deliveries), 0, 9, 100)
    assert records == [STAMP[:8] + following.to_bytes(2, "big") + IDS[:16] + b"x"]


def test_a_record_without_a_delivery_to_come_is_stored_as_it_is(hot):
    never = STAMP[:8] + b"\0\0" + IDS[:16] + b"x"
    assert hot.encode_disk_records([never]) == stored(0)


@pytest.mark.parametrize("size", [-1, 0, 25, 101, 2**31 - 1, -(2**31)])
def test_decoding_stops_at_an_impossible_size(hot, size):
    buffer = stored(0) + struct.pack(">i", size) + bytes(200)
    records, position = hot.decode_disk_records(buffer, 0, 9, 100)
    assert (len(records), position) == (1, 31)


def test_decoding_stops_before_a_record_that_is_not_all_there(hot):
    for cut in range(31, 62):
        records, position = hot.decode_disk_records((stored(0) * 2)[:cut], 0, 9, 100)
        assert (len(records), position) == (1, 31)
