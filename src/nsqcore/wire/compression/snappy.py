"""Snappy's framing format, both ways, as NSQ's clients and daemons speak it after IDENTIFY.

A stream is chunks: a type, a length in three bytes, a body of at most 64 KiB of data with its
checksum. The stream identifier comes first and may come again between any two chunks (pynsq
begins a new stream with each write). Padding and skippable chunks are dropped unread.

Chunks are found here, cut anywhere, and their lengths checked before anything is kept; whole runs
of data chunks then go to cramjam, which checks the sums and unpacks.

Bytes in, bytes out; no I/O. https://github.com/google/snappy/blob/main/framing_format.txt
"""

import cramjam

from nsqcore.classes import define
from nsqcore.errors import NsqError

IDENTIFIER = b"\xff\x06\x00\x00sNaPpY"
COMPRESSED, UNCOMPRESSED, FIRST_SKIPPABLE, STREAM_START = 0x00, 0x01, 0x80, 0xFF

_HEADER = 4
_CHECKSUM = 4
# The format allows 65536 bytes of data in a chunk; incompressible data grows to this.
MAX_BLOCK = 65536
MAX_COMPRESSED = 32 + MAX_BLOCK + MAX_BLOCK // 6
# Most bytes unpacked in one call: what a session is given at once on a plain socket.
MAX_OUTPUT = 256 * 1024


class SnappyError(NsqError):
    """What the peer sent is not a Snappy stream."""


@define(eq=False, repr=False)
class SnappyCodec:
    """The compression of one connection."""

    _written: bool = False
    _identified: bool = False
    _tail: bytes = b""
    #: Bytes still to come of a chunk that is dropped.
    _skip: int = 0

    #: The last run ended because it was large enough, not for want of input.
    _full: bool = False

    @property
    def has_more(self) -> bool:
        """`decompress` may give more, though there is no further input."""
        return self._full

    def compress(self, data: bytes | memoryview) -> bytes:
        """``data`` in chunks of its own; the first ones have the stream identifier before them."""
        if not data:
            return b""
        chunks = bytes(cramjam.snappy.compress(data))
        if not self._written:
            self._written = True
            return chunks
        return chunks[len(IDENTIFIER) :]

    def decompress(self, data: bytes, limit: int = MAX_OUTPUT) -> bytes:
        """About ``limit`` bytes, at most a block more, of what ``data`` and earlier input hold.

        There may be more: call with b"" until that gives b"", or while `has_more` is set.

        Raises:
            SnappyError: the input is garbled.
        """
        run = self._next_run(self._tail + data if self._tail else data, limit)
        if not run:
            return b""
        try:
            return bytes(cramjam.snappy.decompress(IDENTIFIER + run))
        except cramjam.DecompressionError as error:
            raise SnappyError(str(error)) from None

    def _next_run(self, data: bytes, limit: int) -> bytes:
        """The next data chunks, complete and in order; the rest is kept for later."""
        position = size = 0
        chunks: list[bytes] = []
        self._full = False
        while True:
            if size >= limit:
                self._full = True
                break
            if self._skip:
                dropped = min(self._skip, len(data) - position)
                self._skip -= dropped
                position += dropped
            if len(data) - position < _HEADER:
                break
            kind = data[position]
            length = int.from_bytes(data[position + 1 : position + _HEADER], "little")
            self._check(kind, length)
            end = position + _HEADER + length
            if kind in (COMPRESSED, UNCOMPRESSED):
                if len(data) < end:
                    break
                # An empty chunk gives nothing, and giving nothing would mean there is no more.
                if length > _CHECKSUM:
                    chunks.append(data[position:end])
                    body = position + _HEADER + _CHECKSUM
                    size += _unpacked_size(data, body) if kind == COMPRESSED else end - body
                position = end
            elif kind == STREAM_START:
                if len(data) < end:
                    break
                if data[position:end] != IDENTIFIER:
                    raise SnappyError("snappy: bad stream identifier")
                self._identified = True
                position = end
            else:
                self._skip = length
                position += _HEADER
        self._tail = data[position:]
        return b"".join(chunks)

    def _check(self, kind: int, length: int) -> None:
        """Refuse a chunk that cannot be right, before its body is waited for."""
        if kind == STREAM_START:
            if length != len(IDENTIFIER) - _HEADER:
                raise SnappyError("snappy: bad stream identifier")
            return
        if not self._identified:
            raise SnappyError("snappy: no stream identifier")
        if kind in (COMPRESSED, UNCOMPRESSED):
            most = MAX_COMPRESSED if kind == COMPRESSED else MAX_BLOCK
            if not _CHECKSUM <= length <= most + _CHECKSUM:
                raise SnappyError(f"snappy: chunk of {length} bytes")
        elif kind < FIRST_SKIPPABLE:
            raise SnappyError(f"snappy: chunk of unknown type {kind:#x}")


def _unpacked_size(data: bytes, position: int) -> int:
    """What a compressed block at ``position`` says it unpacks to; at most `MAX_BLOCK` counts.

    A varint of the block format, of which three bytes hold 65536; cramjam refuses what lies.
    """
    size = 0
    for shift, byte in zip((0, 7, 14), data[position : position + 3], strict=False):
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return min(size, MAX_BLOCK)
