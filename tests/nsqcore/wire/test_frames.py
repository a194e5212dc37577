import itertools
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.wire.errors import BadTopic
from nsqcore.wire.frames import (
    CLOSE_WAIT_FRAME,
    HEARTBEAT_FRAME,
    MAX_FRAME_SIZE,
    OK_FRAME,
    BadFrame,
    ErrorFrame,
    FrameParser,
    Message,
    Messages,
    Response,
    error_frame,
    parse_record,
    response_frame,
)
from nsqcore.wire.hot import encode_messages

ONE = struct.pack(">qH16s", 1_700_000_000_000_000_000, 1, b"0123456789abcdef") + b"one"
TWO = struct.pack(">qH16s", 5, 65535, b"fedcba9876543210")  # no body

STREAM = (
    OK_FRAME
    + encode_messages([ONE, TWO])
    + HEARTBEAT_FRAME
    + error_frame(BadTopic("no"))
    + encode_messages([TWO])
    + response_frame(b"")
)


def flatten(frames):
    """The frames with every message on its own."""
    flat = []
    for frame in frames:
        flat += frame.records if isinstance(frame, Messages) else [frame]
    return flat


def test_frames_are_size_type_and_data():
    assert OK_FRAME == b"\0\0\0\x06\0\0\0\0OK"
    assert CLOSE_WAIT_FRAME == b"\0\0\0\x0e\0\0\0\0CLOSE_WAIT"
    assert HEARTBEAT_FRAME == b"\0\0\0\x0f\0\0\0\0_heartbeat_"
    assert response_frame(b"") == b"\0\0\0\x04\0\0\0\0"
    assert error_frame(BadTopic("no")) == b"\0\0\0\x12\0\0\0\x01E_BAD_TOPIC no"
    assert encode_messages([ONE]) == b"\0\0\0\x21\0\0\0\x02" + ONE


def test_a_run_of_messages_is_one_value():
    assert FrameParser().feed(STREAM) == [
        Response(b"OK"),
        Messages([ONE, TWO]),
        Response(b"_heartbeat_"),
        ErrorFrame(b"E_BAD_TOPIC no"),
        Messages([TWO]),
        Response(b""),
    ]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_frames_do_not_depend_on_where_the_network_cuts_the_stream(cut):
    parser = FrameParser()
    frames = parser.feed(STREAM[:cut]) + parser.feed(STREAM[cut:])
    assert flatten(frames) == flatten(FrameParser().feed(STREAM))


def test_frames_may_come_byte_by_byte():
    parser = FrameParser()
    frames = [frame for byte in STREAM for frame in parser.feed(bytes([byte]))]
    assert flatten(frames) == flatten(FrameParser().feed(STREAM))


@pytest.mark.slow
@given(
    items=st.lists(st.binary(max_size=40)),
    cuts=st.lists(st.integers(0, 600), max_size=8),
)
def test_any_frames_arrive_whole_and_in_order(items, cuts):
    stream, expected = b"", []
    for number, data in enumerate(items):
        if number % 3:
            stream += encode_messages([ONE + data])
            expected.append(ONE + data)
        else:
            stream += response_frame(data)
            expected.append(Response(data))
    parser, frames = FrameParser(), []
    edges = [0, *sorted(cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        frames += parser.feed(stream[start:end])
    assert flatten(frames) == expected


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (struct.pack(">ii", 3, 0), "frame of size 3 and type 0"),
        (struct.pack(">ii", -1, 2), "frame of size -1 and type 2"),
        (
            struct.pack(">ii", MAX_FRAME_SIZE + 1, 0),
            f"frame of size {MAX_FRAME_SIZE + 1} and type 0",
        ),
        (struct.pack(">ii", 10, 3), "frame of size 10 and type 3"),
        (struct.pack(">ii", 10, -1), "frame of size 10 and type -1"),
        (struct.pack(">ii", 29, 2) + bytes(25), "message frame of size 29"),
        (b"HTTP/1.1 400 Bad Request\r\n", "frame of size 1213486160 and type 791752241"),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_noise_ends_the_list_after_the_good_frames(noise, reason, piece):
    parser, frames = FrameParser(), []
    stream = OK_FRAME + noise
    for start in range(0, len(stream), piece):
        frames += parser.feed(stream[start : start + piece])
        if frames and isinstance(frames[-1], BadFrame):
            break
    assert frames == [Response(b"OK"), BadFrame(reason)]


def test_frame_over_the_limit_is_refused_by_its_size_alone():
    parser = FrameParser(max_frame_size=100)
    assert parser.feed(struct.pack(">ii", 100, 0)) == []
    assert parser.feed(bytes(96)) == [Response(bytes(96))]
    assert parser.feed(struct.pack(">ii", 101, 0)) == [BadFrame("frame of size 101 and type 0")]


def test_a_huge_declared_size_takes_no_memory():
    tracemalloc.start()
    parser = FrameParser()
    parser.feed(struct.pack(">ii", MAX_FRAME_SIZE, 0))
    parser.feed(bytes(1000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_error_frame_tells_code_and_text_apart():
    frame = ErrorFrame(b"E_BAD_TOPIC PUB topic name \xff is not valid")
    assert frame.code == "E_BAD_TOPIC"
    assert frame.text == "PUB topic name \ufffd is not valid"
    assert (ErrorFrame(b"E_BAD_PROTOCOL").code, ErrorFrame(b"E_BAD_PROTOCOL").text) == (
        "E_BAD_PROTOCOL",
        "",
    )


def test_record_gives_the_fields_of_a_message():
    assert parse_record(ONE) == Message(b"0123456789abcdef", 1_700_000_000_000_000_000, 1, b"one")
    assert parse_record(TWO) == Message(b"fedcba9876543210", 5, 65535, b"")
