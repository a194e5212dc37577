"""Raw deflate, both ways, as NSQ's clients and daemons speak it after IDENTIFY.

There is no zlib header, and every write ends with a sync flush, so that the reader has all of it.
A stream that ends (Z_FINISH) is fine; nothing after it is looked at.

Bytes in, bytes out; no I/O. What a peer sends is never inflated at once: a kilobyte may hold a
megabyte, so each call gives a bounded piece.
"""

import zlib

from nsqcore.classes import define, field
from nsqcore.errors import NsqError

# Raw: no header, and the largest window, which every other implementation uses.
WINDOW = -15
# Most bytes inflated in one call: what a session is given at once on a plain socket.
MAX_OUTPUT = 256 * 1024


class DeflateError(NsqError):
    """What the peer sent is not deflate."""


@define(eq=False, repr=False)
class DeflateCodec:
    """The compression of one connection. ``level`` is 1 (fast) to 9 (small)."""

    level: int = 6
    _compressor: "zlib._Compress" = field(init=False)
    _decompressor: "zlib._Decompress" = field(init=False)
    _full: bool = field(default=False, init=False)  # the last piece was as large as it might be

    def __attrs_post_init__(self) -> None:
        self._compressor = zlib.compressobj(self.level, zlib.DEFLATED, WINDOW)
        self._decompressor = zlib.decompressobj(WINDOW)

    @property
    def has_more(self) -> bool:
        """`decompress` gives more, though there is no further input."""
        return self._full and not self._decompressor.eof

    def compress(self, data: bytes | memoryview) -> bytes:
        """``data`` compressed and flushed, so that the peer can read all of it."""
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def decompress(self, data: bytes, limit: int = MAX_OUTPUT) -> bytes:
        """At most ``limit`` bytes of what ``data`` and earlier input hold.

        There may be more: call with b"" until that gives b"", or while `has_more` is set.

        Raises:
            DeflateError: the input is garbled.
        """
        stream = self._decompressor
        if stream.eof:
            return b""
        if stream.unconsumed_tail:
            data = stream.unconsumed_tail + data
        try:
            found = stream.decompress(data, limit)
        except zlib.error as error:
            raise DeflateError(f"deflate: {error}") from None
        self._full = len(found) >= limit
        return found
