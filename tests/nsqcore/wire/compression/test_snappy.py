"""Snappy's framing format, cut anywhere and checked."""

import struct

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqcore.wire.compression.snappy import (
    IDENTIFIER,
    MAX_BLOCK,
    MAX_OUTPUT,
    SnappyCodec,
    SnappyError,
)

PADDING = b"\xfe\x05\x00\x00" + bytes(5)
SKIPPABLE = b"\x80\x03\x00\x00xyz"


def crc32c(data: bytes) -> int:
    """The checksum, bit by bit, independent of what is tested."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    return crc ^ 0xFFFFFFFF


def chunk(kind: int, data: bytes, body: bytes) -> bytes:
    """A data chunk with the masked checksum of ``data``."""
    crc = crc32c(data)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return bytes([kind]) + (len(body) + 4).to_bytes(3, "little") + struct.pack("<I", masked) + body


def drain(codec: SnappyCodec, data: bytes) -> bytes:
    """All that ``data`` gives, in as many calls as it takes."""
    found = piece = codec.decompress(data)
    while piece:
        assert len(piece) < MAX_OUTPUT + MAX_BLOCK
        piece = codec.decompress(b"")
        found += piece
    return found


def test_each_write_can_be_read_at_once_and_the_identifier_comes_once():
    ours, theirs = SnappyCodec(), SnappyCodec()
    stream = b""
    for text in (b"IDENTIFY\n", b"", b"x" * 1_000_000, bytes(range(256)) * 1000, b"last"):
        packed = ours.compress(text)
        assert drain(theirs, packed) == text
        stream += packed
    assert stream.startswith(IDENTIFIER)
    assert stream.count(b"sNaPpY") == 1


def test_others_can_read_it():
    assert bytes(cramjam.snappy.decompress(SnappyCodec().compress(b"hello"))) == b"hello"


@pytest.mark.parametrize("kind", ["compressed", "uncompressed"])
def test_chunks_of_both_kinds_are_read_between_padding_and_skippable_ones(kind):
    data = b"PUB topic\n"
    block = bytes(cramjam.snappy.compress_raw(data)) if kind == "compressed" else data
    stream = PADDING + SKIPPABLE + chunk(int(kind != "compressed"), data, block) + PADDING
    assert drain(SnappyCodec(), IDENTIFIER + stream) == data


def test_the_identifier_may_come_again_between_any_chunks():
    """pynsq begins a new stream with each write."""
    stream = b"".join(SnappyCodec().compress(b"NOP\n") for _ in range(20))
    assert stream.count(b"sNaPpY") == 20
    assert drain(SnappyCodec(), stream + IDENTIFIER) == b"NOP\n" * 20


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.binary(max_size=200), max_size=5), st.integers(1, 40))
def test_it_does_not_matter_where_the_network_cuts(texts, size):
    stream = IDENTIFIER + PADDING.join(SnappyCodec().compress(text) + SKIPPABLE for text in texts)
    codec = SnappyCodec()
    pieces = [drain(codec, stream[i : i + size]) for i in range(0, len(stream), size)]
    assert b"".join(pieces) == b"".join(texts)


def test_an_empty_chunk_does_not_hide_those_behind_it():
    empty = chunk(1, b"", b"")
    stream = IDENTIFIER + empty * 10 + chunk(1, b"data", b"data")
    assert drain(SnappyCodec(), stream) == b"data"


def test_a_long_skippable_chunk_is_dropped_and_not_kept():
    codec = SnappyCodec()
    assert codec.decompress(IDENTIFIER + b"\x80\xff\xff\xff") == b""
    for _ in range(255):
        assert codec.decompress(bytes(65_536)) == b""
        assert len(codec._tail) == 0
    assert drain(codec, bytes(65_535) + chunk(1, b"after", b"after")) == b"after"


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"\xff" * 64, "identifier"),
        (b"\xff\x06\x00\x00sNaPpX", "identifier"),
        (b"\xff\x05\x00\x00", "identifier"),
        (chunk(1, b"data", b"data"), "identifier"),
        (IDENTIFIER + b"\x02\x01\x00\x00x", "unknown type"),
        (IDENTIFIER + b"\x00\x03\x00\x00xxx", "3 bytes"),
        (IDENTIFIER + b"\x00\xff\xff\xff", "16777215 bytes"),
        (IDENTIFIER + b"\x01\x05\x00\x01", "65541 bytes"),
        (IDENTIFIER + chunk(1, b"data", b"date"), "checksum"),
        (IDENTIFIER + chunk(0, b"data", b"\xff\xff\xff\xff\x0f"), "snappy"),
    ],
)
def test_garbage_is_refused_with_a_reason(stream, reason):
    with pytest.raises(SnappyError, match=reason):
        drain(SnappyCodec(), stream)
