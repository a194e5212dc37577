"""A stream of bytes in memory, with two ends."""

from collections import deque

import anyio
import anyio.lowlevel

from nsqcore.classes import Factory, define


@define(eq=False, repr=False)
class MemoryStream:
    """One end of a stream in memory; sending waits only for an end that is frozen."""

    _chunks: deque[bytes] = Factory(deque)
    _other: "MemoryStream | None" = None
    _closed: bool = False
    _news: anyio.Event | None = None
    _frozen: anyio.Event | None = None

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        """What the other end sent with one call, whatever its size."""
        await anyio.lowlevel.checkpoint()
        while not self._chunks:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._other is None or self._other._closed:
                raise anyio.EndOfStream
            self._news = anyio.Event()
            await self._news.wait()
        return self._chunks.popleft()

    async def send(self, item: bytes, /) -> None:
        """Send ``item``; raises if either end is closed."""
        await anyio.lowlevel.checkpoint()
        while self._other is not None and self._other._frozen is not None:
            await self._other._frozen.wait()
        if self._closed:
            raise anyio.ClosedResourceError
        if not self.send_nowait(item):
            raise anyio.BrokenResourceError

    def send_nowait(self, item: bytes) -> bool:
        """Send ``item``; returns whether there is anyone to get it."""
        other = self._other
        if self._closed or other is None or other._closed:
            return False
        other._chunks.append(item)
        other._wake()
        return True

    def freeze(self) -> None:
        """Let the other end's `send` wait until `thaw`, as when nobody reads here."""
        if self._frozen is None:
            self._frozen = anyio.Event()

    def thaw(self) -> None:
        """Take in again what the other end sends."""
        if self._frozen is not None:
            self._frozen.set()
            self._frozen = None

    async def aclose(self) -> None:
        """Close it; the other end gets what was sent before."""
        self.close()
        await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close it; the other end gets what was sent before."""
        self._closed = True
        self.thaw()
        self._chunks.clear()
        self._wake()
        if self._other is not None:
            self._other._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None


def stream_pair() -> tuple[MemoryStream, MemoryStream]:
    """The two ends of a new stream."""
    here = MemoryStream()
    there = MemoryStream(other=here)
    here._other = there
    return here, there
