"""Takes message ids out of received bytes, equal frames many at a time.

In a benchmark nearly all frames have one size. Where the next bytes hold k frames of the size seen
last, strided slices compare all k headers at once and one `struct` call takes all ids out: about a
tenth of the cost of looking at frames one by one. Anything else (heartbeats, other sizes, errors)
takes the general road for that one frame.
"""

import struct

from attrs import define, field

from bench.loadgen.wire import (
    BODY_AT,
    ERROR,
    HEADER,
    HEARTBEAT,
    ID_AT,
    MESSAGE,
    LoadError,
)

RUN_LIMIT = 4096  # frames looked at in one step: bounds the size of the struct formats


@define(eq=False)
class MessageScanner:
    """Finds the messages in a stream of frames."""

    stride: int = 0  # length of the message frames seen last; 0: none yet
    heartbeats: int = 0
    _header: bytes = b""
    _formats: dict[tuple[int, int], struct.Struct] = field(factory=dict)

    def scan(self, buffer: bytearray, end: int) -> tuple[list[bytes], int]:
        """The ids of the complete messages in ``buffer[:end]``, and where the rest begins."""
        ids: list[bytes] = []
        position = 0
        while end - position >= HEADER.size:
            run = min((end - position) // self.stride, RUN_LIMIT) if self.stride else 0
            if run and self._is_run(buffer, position, run):
                ids += self._format(run).unpack_from(buffer, position)
                position += run * self.stride
                continue
            size, kind = HEADER.unpack_from(buffer, position)
            if end - position < 4 + size:
                break
            if kind == MESSAGE:
                ids.append(bytes(buffer[position + ID_AT : position + BODY_AT]))
                if 4 + size != self.stride:
                    self.stride, self._header = 4 + size, HEADER.pack(size, MESSAGE)
            else:
                self._other(kind, bytes(buffer[position + 8 : position + 4 + size]))
            position += 4 + size
        return ids, position

    def _is_run(self, buffer: bytearray, position: int, run: int) -> bool:
        stop = position + run * self.stride
        return all(
            buffer[position + i : stop : self.stride] == self._header[i : i + 1] * run
            for i in (3, 2, 1, 0, 7)
        )

    def _format(self, run: int) -> struct.Struct:
        key = self.stride, run
        if key not in self._formats:
            one = f"{ID_AT}x16s{self.stride - BODY_AT}x"
            self._formats[key] = struct.Struct(">" + one * run)
        return self._formats[key]

    def _other(self, kind: int, payload: bytes) -> None:
        if kind == ERROR:
            raise LoadError(f"the server answered {payload[:80]!r}")
        if payload == HEARTBEAT:
            self.heartbeats += 1
