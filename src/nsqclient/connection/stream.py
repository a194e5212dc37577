"""Streams to an nsqd: how an address is dialled, and how a stream is upgraded.

A stream is plain first. TLS and compression wrap it during the handshake
(`nsqclient.connection.handshake`), TLS first; the rest of the client sees bytes in and out.
"""

import ssl
from typing import Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.streams.tls import TLSStream

from nsqclient.connection.sockets import READ_SIZE, STREAM_ERRORS, connect_tcp, connect_unix
from nsqclient.core.errors import ConnectionLost, ProtocolError
from nsqclient.core.options import Stream
from nsqcore.addresses import AddressError, is_host, parse_host_port
from nsqcore.classes import define
from nsqcore.errors import NsqError
from nsqcore.net.reasons import failure_reason
from nsqcore.tls import system_tls

DEFAULT_PORT = 4150


class Codec(Protocol):
    """One direction-pair of a compression, as `nsqcore.wire` has them."""

    def compress(self, data: bytes) -> bytes:
        """``data`` compressed and flushed."""

    def decompress(self, data: bytes, limit: int) -> bytes:
        """About ``limit`` bytes of what ``data`` completes; call with b"" for more, until b""."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``host``, ``[::1]:port`` or ``tcp://…``.

    Raises:
        ValueError: it is none of these.
    """
    text = address.removeprefix("tcp://")
    if ":" not in text or text.endswith("]"):
        text += f":{DEFAULT_PORT}"
    try:
        host, port = parse_host_port(text)
    except AddressError:
        host, port = "", 0
    if not is_host(host):
        raise ValueError(f"{address!r} is not an address; write host:port or unix:/path")
    return host, port


def unix_path(address: str) -> str | None:
    """The path of a Unix socket's address, ``unix:/path`` or ``/path``; None for others."""
    for prefix in ("unix://", "unix:"):
        if address.startswith(prefix):
            return address.removeprefix(prefix)
    return address if address.startswith("/") else None


def check_address(address: str) -> str:
    """``address`` if it can be dialled; raises ValueError if not."""
    if unix_path(address) is None:
        split_address(address)
    return address


async def dial(address: str) -> Stream:
    """A plain stream to ``address``.

    Raises:
        OSError: nobody answers there.
    """
    path = unix_path(address)
    if path is not None:
        return await connect_unix(path)
    try:
        host, port = split_address(address)
    except ValueError as error:  # of a host that cannot even be looked up
        raise OSError(str(error)) from error
    return await connect_tcp(host, port)


async def tls_context(tls: bool | ssl.SSLContext) -> ssl.SSLContext:
    """The context given, or one that trusts the system's authorities.

    Those are read once, in a thread: it takes tenths of a second.
    """
    if isinstance(tls, ssl.SSLContext):
        return tls
    return await anyio.to_thread.run_sync(system_tls)


async def upgrade_to_tls(stream: Stream, address: str, tls: bool | ssl.SSLContext) -> Stream:
    """``stream`` after a TLS handshake.

    Raises:
        ConnectionLost: the handshake failed; the certificate was refused, by either side.
        anyio.EndOfStream: the other side hung up.
    """
    context = await tls_context(tls)
    host = None if unix_path(address) is not None else split_address(address)[0]
    try:
        return await TLSStream.wrap(
            stream,  # type: ignore[arg-type]
            server_side=False,
            hostname=host,
            ssl_context=context,
            standard_compatible=False,
        )
    except anyio.EndOfStream:
        raise
    except STREAM_ERRORS as error:
        raise ConnectionLost(
            f"nsqd {address}: TLS handshake failed: {failure_reason(error)}"
        ) from error


@define(eq=False, repr=False)
class CompressedStream:
    """A stream whose bytes are compressed; ``early`` is what was read before it came to be."""

    _inner: Stream
    _codec: Codec
    _early: bytes = b""

    async def receive(self, max_bytes: int = READ_SIZE, /) -> bytes:
        """The next decompressed bytes; may be a block of snappy more than ``max_bytes``."""
        data, self._early = self._early, b""
        if not data:
            # A kilobyte may hold a megabyte: others have their turn between two pieces of it.
            await anyio.lowlevel.checkpoint()
        while True:
            # First what earlier input still holds: the codec gives a bounded piece at a time.
            try:
                plain = self._codec.decompress(data, max_bytes)
            except NsqError as error:
                raise ProtocolError(f"not a compressed stream: {error}") from error
            if plain:
                return plain
            data = await self._inner.receive(READ_SIZE)

    async def send(self, item: bytes, /) -> None:
        """Send ``item`` compressed."""
        await self._inner.send(self._codec.compress(item))

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._inner.aclose()
