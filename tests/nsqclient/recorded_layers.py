"""What recorded scenes see of connections that are compressed or encrypted: the words inside.

No two handshakes of TLS are alike, and libraries compress differently; so a scene has what the
client said as the peer reads it. What nsqd said when compressed is kept as it was.
"""

import ssl
from collections.abc import Callable
from functools import cache
from typing import Any

import anyio.lowlevel
import trustme
from attrs import Factory, define

from nsqcore.wire.compression.deflate import DeflateCodec
from nsqcore.wire.compression.snappy import SnappyCodec

LIMIT = 1 << 20

CODECS: dict[str, Callable[[], Any]] = {
    "deflated": DeflateCodec,
    "everything": DeflateCodec,
    "snappy": SnappyCodec,
}


@define(eq=False)
class Reader:
    """Reads what a client says: IDENTIFY as it is, what follows as the scene ``name`` has it."""

    name: str
    _codec: Any = None
    _is_first: bool = True

    def __call__(self, said: bytes) -> bytes:
        if self._is_first or self.name not in CODECS:
            self._is_first = False
            return said
        self._codec = self._codec or CODECS[self.name]()
        found = bytes(self._codec.decompress(said, LIMIT))
        while self._codec.has_more:
            found += self._codec.decompress(b"", LIMIT)
        return found


@cache
def authority() -> trustme.CA:
    """Whom the client trusts."""
    return trustme.CA()


def trusting() -> ssl.SSLContext:
    """The client's context."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


@cache
def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("recorded").configure_cert(context)
    return context


@define(eq=False)
class TlsEnd:
    """The other end of a client's TLS, after an answer in the clear; ``inner`` has the words."""

    inner: Any
    _incoming: ssl.MemoryBIO = Factory(ssl.MemoryBIO)
    _outgoing: ssl.MemoryBIO = Factory(ssl.MemoryBIO)
    _tls: ssl.SSLObject | None = None
    _is_open: bool = False

    async def send(self, item: bytes, /) -> None:
        """Take what the client sends: IDENTIFY, its part of the handshake, records."""
        if self._tls is None:
            await self.inner.send(item)
            return
        self._incoming.write(item)
        said = b""
        try:
            if not self._is_open:
                self._tls.do_handshake()
                self._is_open = True
                await self.inner.upgrade()
            while chunk := self._tls.read(LIMIT):
                said += chunk
        except ssl.SSLWantReadError:
            pass
        if said:
            await self.inner.send(said)
        await anyio.lowlevel.checkpoint()

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        """The answer in the clear, our part of the handshake, records."""
        await anyio.lowlevel.checkpoint()
        if self._tls is None:
            answer: bytes = await self.inner.receive(max_bytes)
            self._tls = _server_context().wrap_bio(self._incoming, self._outgoing, True)
            return answer
        if not self._outgoing.pending:
            self._tls.write(await self.inner.receive(max_bytes))
        return self._outgoing.read(max_bytes)

    async def aclose(self) -> None:
        """Close what is inside."""
        await self.inner.aclose()
