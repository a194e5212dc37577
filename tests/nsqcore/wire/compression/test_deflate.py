"""Raw deflate, cut anywhere and bounded."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqcore.wire.compression.deflate import MAX_OUTPUT, DeflateCodec, DeflateError


def drain(codec: DeflateCodec, data: bytes) -> bytes:
    """All that ``data`` gives, in as many calls as it takes."""
    found = piece = codec.decompress(data)
    while piece:
        assert len(piece) <= MAX_OUTPUT
        piece = codec.decompress(b"")
        found += piece
    return found


@pytest.mark.parametrize("level", [1, 6, 9])
def test_each_write_can_be_read_at_once(level):
    ours, theirs = DeflateCodec(level), DeflateCodec()
    for text in (b"IDENTIFY\n", b"", b"x" * 100_000, b"last"):
        assert drain(theirs, ours.compress(text)) == text


def test_there_is_no_header():
    packed = DeflateCodec().compress(b"hello")
    assert zlib.decompressobj(-15).decompress(packed) == b"hello"


@settings(max_examples=30)
@given(st.binary(max_size=500), st.integers(1, 50))
def test_it_does_not_matter_where_the_network_cuts(text, size):
    packed = DeflateCodec().compress(text)
    codec = DeflateCodec()
    pieces = [drain(codec, packed[i : i + size]) for i in range(0, len(packed), size)]
    assert b"".join(pieces) == text


def test_a_bomb_comes_in_pieces():
    packed = DeflateCodec(9).compress(bytes(5_000_000))
    codec = DeflateCodec()
    assert len(packed) < 10_000
    assert len(codec.decompress(packed)) == MAX_OUTPUT
    assert len(drain(codec, b"")) == 5_000_000 - MAX_OUTPUT


def test_a_finished_stream_is_fine_and_nothing_comes_after_it():
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(b"the end") + packer.flush(zlib.Z_FINISH)
    codec = DeflateCodec()
    assert drain(codec, packed + b"garbage") == b"the end"
    assert codec.decompress(b"more garbage") == b""


def test_garbage_is_an_error():
    with pytest.raises(DeflateError, match="deflate"):
        DeflateCodec().decompress(b"\xff" * 64)
