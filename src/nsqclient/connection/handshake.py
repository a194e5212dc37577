"""From an address to a usable stream: magic, IDENTIFY, upgrades, AUTH.

Frames are read one at a time here, because what follows an answer may not be
plain bytes any more: compressed bytes may stand right behind it, and bytes that
stand before a TLS handshake were put there by somebody else.
"""

from struct import Struct

import anyio

from nsqclient.connection.sockets import READ_SIZE, STREAM_ERRORS, close_at_once
from nsqclient.connection.stream import (
    Codec,
    CompressedStream,
    dial,
    upgrade_to_tls,
)
from nsqclient.core.arguments import said
from nsqclient.core.errors import AuthFailed, ConnectionLost, ProtocolError
from nsqclient.core.options import ConnectionOptions, Stream, in_seconds
from nsqcore.classes import define, field, frozen
from nsqcore.json import JsonError, decode
from nsqcore.net.reasons import failure_reason
from nsqcore.wire import client_commands as commands
from nsqcore.wire.compression.deflate import DeflateCodec
from nsqcore.wire.compression.snappy import SnappyCodec
from nsqcore.wire.frames import BadFrame, ErrorFrame, FrameParser, Response

_header = Struct(">i").unpack_from

# Answers to IDENTIFY and AUTH are a few hundred bytes of JSON; far more is not an nsqd.
MAX_ANSWER = 64 * 1024

# Settings are 64-bit integers at nsqd; JSON may hold anything, infinity included.
MAX_NUMBER = 2**63 - 1

AUTH_CODES = frozenset({"E_AUTH_FAILED", "E_AUTH_FIRST", "E_AUTH_DISABLED", "E_UNAUTHORIZED"})


@frozen(kw_only=True)
class Negotiated:
    """What nsqd granted. Durations are seconds.

    ``fields`` is its whole answer to IDENTIFY, ``identity`` that to AUTH.
    """

    max_rdy_count: int = 2500
    msg_timeout: float = 60.0
    max_msg_timeout: float = 900.0
    headers: bool = False
    terminate: bool = False
    fields: dict[str, object] = field(factory=dict)
    identity: dict[str, object] = field(factory=dict)


@define(eq=False, repr=False)
class _Wire:
    """The stream of a handshake, with what was read of it and not yet used."""

    address: str
    stream: Stream
    rest: bytes = b""

    async def ask(self, command: bytes) -> bytes:
        """The answer to ``command``; raises what nsqd refused it with."""
        await self.stream.send(command)
        return await self.answer()

    async def answer(self) -> bytes:
        """The next response, heartbeats answered on the way."""
        while True:
            frame = await self._frame()
            if isinstance(frame, ErrorFrame):
                kind = AuthFailed if frame.code in AUTH_CODES else ProtocolError
                text = frame.data.decode("utf-8", "replace")
                raise kind(f"nsqd {self.address}: {text}", code=frame.code)
            if frame.data != b"_heartbeat_":
                return frame.data
            await self.stream.send(commands.NOP)

    async def _frame(self) -> Response | ErrorFrame:
        need = 4
        while True:
            if len(self.rest) >= need:
                (size,) = _header(self.rest)
                if not 4 <= size <= MAX_ANSWER:
                    hint = " but an HTTP server" if self.rest.startswith(b"HTTP") else ""
                    raise ProtocolError(f"nsqd {self.address}: this is not an nsqd{hint}")
                need = 4 + size
                if len(self.rest) >= need:
                    break
            self.rest += await self.stream.receive(READ_SIZE)
        (frame,) = FrameParser().feed(self.rest[:need])
        self.rest = self.rest[need:]
        if isinstance(frame, Response | ErrorFrame):
            return frame
        what = f"a {frame.reason}" if isinstance(frame, BadFrame) else "messages"
        raise ProtocolError(f"nsqd {self.address}: this is not an nsqd: it sent {what}")


async def shake_hands(address: str, options: ConnectionOptions) -> tuple[Stream, bytes, Negotiated]:
    """A stream ready for commands, the bytes already read from it, and what was negotiated.

    Raises:
        ConnectionLost: nobody there, not in time, or TLS failed.
        AuthFailed: nsqd does not take the secret.
        ProtocolError: nsqd refused the settings, or is no nsqd.
    """
    wire: _Wire | None = None
    try:
        with anyio.fail_after(in_seconds(options.connect_timeout)):
            wire = _Wire(address, await (options.dial or dial)(address))
            negotiated = await _negotiate(wire, options)
    except BaseException as error:
        if wire is not None:
            await close_at_once(wire.stream)
        if isinstance(error, TimeoutError):
            text = f"nsqd {address}: no answer within {in_seconds(options.connect_timeout):g} s"
            raise ConnectionLost(text) from error
        if isinstance(error, anyio.EndOfStream):
            raise ConnectionLost(f"nsqd {address}: hung up during the handshake") from error
        if isinstance(error, STREAM_ERRORS):
            raise ConnectionLost(
                f"nsqd {address}: cannot connect: {failure_reason(error)}"
            ) from error
        raise
    return wire.stream, wire.rest, negotiated


async def _negotiate(wire: _Wire, options: ConnectionOptions) -> Negotiated:
    answer = await wire.ask(commands.MAGIC_V2 + commands.identify(options.identify()))
    fields = _json(wire, answer)
    if fields.get("auth_required") and options.auth_secret is None:
        raise AuthFailed(f"nsqd {wire.address}: wants an auth_secret", code="E_AUTH_FIRST")
    await _upgrade(wire, options, fields)
    identity: dict[str, object] = {}
    if options.auth_secret is not None and fields.get("auth_required"):
        identity = _json(wire, await wire.ask(commands.auth(said(options.auth_secret).encode())))
    return Negotiated(
        max_rdy_count=int(_number(fields, "max_rdy_count", 2500)),
        msg_timeout=_number(fields, "msg_timeout", 60_000) / 1000,
        max_msg_timeout=_number(fields, "max_msg_timeout", 900_000) / 1000,
        headers=fields.get("headers") is True,
        terminate=fields.get("terminate") is True,
        fields=fields,
        identity=identity,
    )


async def _upgrade(wire: _Wire, options: ConnectionOptions, fields: dict[str, object]) -> None:
    if options.tls:
        if not fields.get("tls_v1"):
            raise ProtocolError(f"nsqd {wire.address}: has no TLS")
        if wire.rest:
            raise ProtocolError(f"nsqd {wire.address}: bytes before the TLS handshake")
        wire.stream = await upgrade_to_tls(wire.stream, wire.address, options.tls)
        await _confirmed(wire)
    codec: Codec | None = None
    if fields.get("snappy") and options.snappy:
        codec = SnappyCodec()
    elif fields.get("deflate") and options.deflate:
        level = int(_number(fields, "deflate_level", options.deflate))
        codec = DeflateCodec(level if level in range(1, 10) else options.deflate)
    if codec is not None:
        wire.stream, wire.rest = CompressedStream(wire.stream, codec, wire.rest), b""
        await _confirmed(wire)


async def _confirmed(wire: _Wire) -> None:
    answer = await wire.answer()
    if answer != b"OK":
        raise ProtocolError(f"nsqd {wire.address}: answered an upgrade with {answer[:100]!r}")


def _json(wire: _Wire, answer: bytes) -> dict[str, object]:
    try:
        fields = decode(answer)
    except JsonError as error:
        raise ProtocolError(f"nsqd {wire.address}: answered {answer[:100]!r}") from error
    if not isinstance(fields, dict):
        raise ProtocolError(f"nsqd {wire.address}: answered {answer[:100]!r}")
    return fields


def _number(fields: dict[str, object], name: str, default: float) -> float:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return value if 0 < value <= MAX_NUMBER else default
