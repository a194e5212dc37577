"""Headers of messages: what may be one, and where they stand in records, frames and commands."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.wire.commands import ParseError, PublishHeaded
from nsqcore.wire.headers import (
    MAX_BLOCK,
    BadHeaders,
    check_block,
    decode_headers,
    encode_header,
    encode_headers,
    has_headers,
    headed_frames,
    plain_record,
    record_of_frame,
    split_record,
    with_block,
)
from nsqcore.wire.parser import CommandParser

HEAD = struct.pack(">qH", 7, 0x8003) + b"0123456789abcdef"
PLAIN = struct.pack(">qH", 7, 3) + b"0123456789abcdef"
names = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,63}", fullmatch=True)
values = st.text(max_size=60).filter(str.isprintable)


@pytest.mark.slow
@given(st.dictionaries(names, values, max_size=10), st.binary())
def test_headers_come_back_as_they_were_given_with_the_body(headers, body):
    record = HEAD + with_block(body, encode_headers(headers))
    found, block = split_record(record)
    assert (found, decode_headers(block)) == (body, headers)
    assert plain_record(record) == PLAIN + body


@pytest.mark.parametrize(
    "headers",
    [
        {"": "x"},
        {"Upper": "x"},
        {"with space": "x"},
        {"n" * 65: "x"},
        {"name": "two\nlines"},
        {"name": "v" * 1025},
        {"name": "\ud800"},
        {"name": 5},
        {f"n{number}": "x" for number in range(33)},
        {f"n{number}": "x" * 1000 for number in range(5)},
    ],
)
def test_what_cannot_be_a_header_is_refused(headers):
    with pytest.raises(BadHeaders):
        encode_headers(headers)


@pytest.mark.slow
@given(st.binary(max_size=200))
def test_any_bytes_are_a_block_or_refused(block):
    try:
        check_block(block)
    except BadHeaders:
        return
    assert encode_headers(decode_headers(block)) or not block


def test_the_names_that_nsqd_gives_are_its_own():
    with pytest.raises(BadHeaders, match="nsq-dead-topic"):
        check_block(encode_header("nsq-dead-topic", "t"))


def test_of_two_headers_with_one_name_neither_gets_by():
    """Readers might take the one or the other, and only one would have been looked at."""
    for first in ("good", "bad\x1b"):
        with pytest.raises(BadHeaders):
            check_block(encode_header("name", first) + encode_header("name", "good"))


def test_a_client_that_wants_headers_gets_frames_of_type_3_where_there_are_any():
    block = encode_headers({"a": "b"})
    records = [HEAD + with_block(b"body", block), PLAIN + b"plain", HEAD + with_block(b"none", b"")]
    frames = headed_frames(records)
    first = PLAIN + struct.pack(">H", len(block)) + block + b"body"
    assert frames == b"".join(
        struct.pack(">ii", len(data) + 4, kind) + data
        for kind, data in ((3, first), (2, PLAIN + b"plain"), (2, PLAIN + b"none"))
    )
    assert record_of_frame(first) == records[0]
    assert (has_headers(records), has_headers(records[1:2])) == (True, False)


@pytest.mark.parametrize("data", [b"", PLAIN, PLAIN + b"\0", PLAIN + b"\0\5abcd"])
def test_a_frame_that_is_cut_off_is_refused(data):
    with pytest.raises(BadHeaders):
        record_of_frame(data)


# ------------------------------------------------------------------ commands


def sized(data):
    return struct.pack(">i", len(data)) + data


def message(body, block=b""):
    return sized(struct.pack(">H", len(block)) + block + body)


def parser(**settings):
    made = CommandParser(100, 1000, 5000)
    made.headers = settings.get("headers", True)
    return made


BLOCK = encode_headers({"trace": "1", "user": "2"})


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_xpub_and_xmpub_are_read_however_they_are_cut(step):
    many = struct.pack(">i", 2) + message(b"one", BLOCK) + message(b"two")
    data = b"XPUB t\n" + message(b"x", BLOCK) + b"XPUB t 250\n" + message(b"later")
    data += b"XMPUB t\n" + sized(many) + b"NOP\n"
    read, found = parser(), []
    for at in range(0, len(data), step):
        found += read.feed(data[at : at + step])
    publishes = [command for command in found if isinstance(command, PublishHeaded)]
    assert [(p.topic, p.bodies, p.many, p.delay) for p in publishes] == [
        ("t", [with_block(b"x", BLOCK)], False, 0),
        ("t", [with_block(b"later", b"")], False, 250),
        ("t", [with_block(b"one", BLOCK), with_block(b"two", b"")], True, 0),
    ]
    assert len(found) == 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"XPUB\n", "XPUB insufficient number of parameters"),
        (b"XPUB a!\n", 'XPUB topic name "a!" is not valid'),
        (b"XPUB t x\n", "XPUB could not parse timeout x"),
        (b"XPUB t 5001\n", "XPUB timeout 5001 out of range 0-5000"),
        (b"XPUB t\n" + sized(b"\0"), "no length of headers"),
        (b"XPUB t\n" + sized(b"\0\5abc"), "5 bytes of headers"),
        (b"XPUB t\n" + message(b"x", b"\1N\0\0"), "a header's name"),
        (b"XPUB t\n" + message(b"x", encode_header("nsq-dead-id", "")), "nsqd's own"),
        (b"XPUB t\n" + message(b"", BLOCK), "invalid message body size 0"),
        (b"XPUB t\n" + message(b"x" * 101), "invalid message body size 101"),
        (b"XPUB t\n" + struct.pack(">i", 103 + MAX_BLOCK), "message too big"),
        (b"XMPUB t\n" + sized(struct.pack(">i", 99)), "invalid message count 99"),
        (b"XMPUB t\n" + sized(struct.pack(">i", 1) + b"1234567"), "invalid message(0)"),
        (b"XMPUB t\n" + sized(struct.pack(">i", 1) + message(b"x") + b"!"), "invalid message(1)"),
        (b"XMPUB t\n" + struct.pack(">i", 1001), "body too big 1001 > 1000"),
    ],
)
def test_what_is_no_publish_with_headers_is_refused_with_its_reason(data, said):
    (fault,) = parser().feed(data)
    assert isinstance(fault, ParseError)
    assert said in str(fault.error)


@pytest.mark.parametrize("name", ["XPUB", "XMPUB"])
def test_who_did_not_ask_for_headers_knows_no_such_command(name):
    (fault,) = parser(headers=False).feed(f"{name} t\n".encode())
    assert str(fault.error) == f"invalid command {name}"
