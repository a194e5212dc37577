"""The V1 protocol between nsqd and nsqlookupd, from both ends: bytes in, values out.

A producer (nsqd) sends the magic and then commands: a line each, and for IDENTIFY an int32 size and
a JSON body after it. Every command is answered by an int32 size and that many bytes, with no frame
type: ``OK``, the JSON that answers IDENTIFY, or an error's code and text. Every error ends the
connection.

No I/O and no clock. Sizes and line lengths are checked before anything is kept.
"""

import json
from collections.abc import Mapping
from struct import Struct
from typing import Any

from attrs import asdict, filters

from nsqcore.classes import field, frozen
from nsqcore.json import JsonError, decode_folded
from nsqcore.names import as_text, is_valid_name
from nsqcore.readers import MAX_VERSION, clean_text, host, port
from nsqcore.wire.commands import ParseError
from nsqcore.wire.errors import BadBody, BadChannel, BadProtocol, BadTopic, Invalid, ProtocolError

MAGIC_V1 = b"  V1"

# The longest line that means anything has two names of 64 bytes; surplus parameters are allowed.
MAX_LINE = 4096

# What nsqd tells of itself is some 200 bytes.
MAX_IDENTIFY_SIZE = 64 * 1024

# A reply is OK, an error that quotes a line, or nsqlookupd's own few fields.
MAX_REPLY_SIZE = 64 * 1024

_SIZE = Struct(">i")


@frozen
class IdentifyProducer:
    """IDENTIFY: ``body`` is JSON, see `parse_peer`."""

    body: bytes


@frozen
class Register:
    """REGISTER: the peer has this topic, and this channel of it if there is one."""

    topic: str
    channel: str = ""


@frozen
class Unregister:
    """UNREGISTER: the peer has this channel, or without one this topic, no more."""

    topic: str
    channel: str = ""


@frozen
class Ping:
    """PING: the peer is alive."""


LookupCommand = IdentifyProducer | Register | Unregister | Ping | ParseError


class LookupParser:
    """Turns the bytes of one producer into commands.

    Feed it whatever was received, cut anywhere; it keeps the unfinished tail.
    """

    def __init__(self) -> None:
        self._tail = b""
        self._magic_seen = False
        self._identified = False
        self._body = False  # an IDENTIFY line was read, its body was not yet
        self._faulty = False

    def feed(self, chunk: bytes) -> list[LookupCommand]:
        """Every command that ``chunk`` completes, in wire order.

        Never raises. Where the bytes stop being the protocol the list ends with a `ParseError`;
        what comes after that is ignored.
        """
        if self._faulty:
            return []
        commands: list[LookupCommand] = []
        buffer, position = self._tail + chunk, 0
        try:
            while (end := self._command(buffer, position, commands)) > position:
                position = end
        except ProtocolError as error:
            self._faulty = True
            self._tail = b""
            # it outlives this call: its traceback would keep all that belongs to it
            commands.append(ParseError(error.with_traceback(None)))
            return commands
        self._tail = buffer[position:]
        return commands

    def finish(self) -> list[LookupCommand]:
        """What to say to a peer that stops sending: a `ParseError` if it broke off a body."""
        if not self._body or self._faulty:
            return []
        self._faulty = True
        what = "body size" if len(self._tail) < _SIZE.size else "body"
        return [ParseError(BadBody(f"IDENTIFY failed to read {what}"))]

    def _command(self, buffer: bytes, start: int, commands: list[LookupCommand]) -> int:
        """Where the command at ``start`` ends; ``start`` itself if it is unfinished."""
        if not self._magic_seen:
            if len(buffer) < len(MAGIC_V1):
                return start
            if not buffer.startswith(MAGIC_V1):
                raise BadProtocol
            self._magic_seen = True
            return len(MAGIC_V1)
        if self._body:
            return self._identify(buffer, start, commands)
        newline = buffer.find(b"\n", start)
        if (newline if newline >= 0 else len(buffer)) - start > MAX_LINE:
            raise Invalid(f"line is longer than {MAX_LINE} bytes")
        if newline < 0:
            return start
        words = buffer[start:newline].strip().split(b" ")
        if words[0] == b"IDENTIFY":
            if self._identified:
                raise Invalid("cannot IDENTIFY again")
            self._body = True
        else:
            commands.append(_parse_line(words, identified=self._identified))
        return newline + 1

    def _identify(self, buffer: bytes, start: int, commands: list[LookupCommand]) -> int:
        if len(buffer) - start < _SIZE.size:
            return start
        size: int = _SIZE.unpack_from(buffer, start)[0]
        if size < 0:
            raise BadBody(f"IDENTIFY invalid body size {size}")
        if size > MAX_IDENTIFY_SIZE:
            raise BadBody(f"IDENTIFY body too big {size} > {MAX_IDENTIFY_SIZE}")
        end = start + _SIZE.size + size
        if len(buffer) < end:
            return start
        commands.append(IdentifyProducer(buffer[start + _SIZE.size : end]))
        self._body, self._identified = False, True
        return end


def _parse_line(words: list[bytes], *, identified: bool) -> LookupCommand:
    name = as_text(words[0])
    if name == "PING":
        return Ping()
    if name not in ("REGISTER", "UNREGISTER"):
        raise Invalid(f"invalid command {name}")
    if not identified:
        raise Invalid("client must IDENTIFY")
    if len(words) == 1:
        raise Invalid(f"{name} insufficient number of params")
    topic = as_text(words[1])
    channel = as_text(words[2]) if len(words) > 2 else ""
    if not is_valid_name(topic):
        raise BadTopic(f"{name} topic name '{topic}' is not valid")
    if channel and not is_valid_name(channel):
        raise BadChannel(f"{name} channel name '{channel}' is not valid")
    return Register(topic, channel) if name == "REGISTER" else Unregister(topic, channel)


@frozen
class External:
    """Where an nsqd is reached from outside its network."""

    address: str
    tcp_port: int
    http_port: int  # 0: not at all

    def to_fields(self) -> dict[str, Any]:
        """The fields of an IDENTIFY that tell it; the original's nsqlookupd passes them over."""
        return {
            "external_address": self.address,
            "external_tcp_port": self.tcp_port,
            "external_http_port": self.http_port,
        }


@frozen
class Peer:
    """What one end tells the other of itself; nsqlookupd's answer has no topology."""

    broadcast_address: str
    tcp_port: int
    http_port: int
    version: str
    hostname: str = ""
    topology_region: str = field(default="", kw_only=True)
    topology_zone: str = field(default="", kw_only=True)
    external: External | None = field(default=None, kw_only=True)

    def to_fields(self) -> dict[str, Any]:
        """All but `external`, by name, for an answer to those inside."""
        return asdict(self, filter=filters.exclude("external"))

    def outside_fields(self) -> dict[str, Any]:
        """As `to_fields`, for those outside: with `external`, where there is one."""
        fields = self.to_fields()
        if self.external is not None:
            fields["broadcast_address"] = self.external.address
            fields["tcp_port"] = self.external.tcp_port
            fields["http_port"] = self.external.http_port
        return fields


_PEER_FIELDS: dict[str, type] = {
    "broadcast_address": str,
    "tcp_port": int,
    "http_port": int,
    "version": str,
    "hostname": str,
    "topology_region": str,
    "topology_zone": str,
}


def parse_peer(body: bytes) -> Peer:
    """What the body of an IDENTIFY, or nsqlookupd's answer to it, tells.

    Names are taken in any case, unknown ones are passed over, null counts as absent. Everybody who
    looks for a topic dials what is told here: an address or a port that can be none is refused.

    Raises:
        BadBody: it is not a JSON object with the right types, or lacks an address, a port or the
            version.
    """
    try:
        fields = decode_folded(body)
    except JsonError as error:
        raise BadBody("IDENTIFY failed to decode JSON body") from error
    if fields is not None and not isinstance(fields, dict):
        raise BadBody("IDENTIFY failed to decode JSON body")
    found: dict[str, Any] = {}
    for key, value in (fields or {}).items():
        wanted = _PEER_FIELDS.get(key)
        if wanted is None or value is None:
            continue
        # A port beyond 64 bits, true or 1.5 is no whole number to the other implementations.
        if type(value) is not wanted or (isinstance(value, int) and not -(2**63) <= value < 2**63):
            raise BadBody("IDENTIFY failed to decode JSON body")
        found[key] = clean_text(value) if isinstance(value, str) else value
    required = ("broadcast_address", "tcp_port", "http_port", "version")
    if not all(found.get(name) for name in required):
        raise BadBody("IDENTIFY missing fields")
    for key, read in (("broadcast_address", host), ("tcp_port", port), ("http_port", port)):
        if not read(found, key):
            raise BadBody(f"IDENTIFY invalid {key} {found[key]!r:.80}")
    found["version"] = found["version"][:MAX_VERSION]
    return Peer(**found, external=_external(fields or {}))


def _external(fields: Mapping[str, Any]) -> External | None:
    """Where a peer is reached from outside; None unless it tells all of it, and rightly."""
    address = host(fields, "external_address")
    tcp, http = port(fields, "external_tcp_port"), port(fields, "external_http_port")
    return External(address, tcp, http) if address and tcp else None


def reply(data: bytes) -> bytes:
    """An answer of nsqlookupd: size and data."""
    return _SIZE.pack(len(data)) + data


OK_REPLY = reply(b"OK")


def identify_command(fields: Mapping[str, Any]) -> bytes:
    """An IDENTIFY that tells nsqlookupd ``fields``: those of `Peer`."""
    body = json.dumps(dict(fields)).encode()
    return b"IDENTIFY\n" + _SIZE.pack(len(body)) + body


def register_command(topic: str, channel: str = "") -> bytes:
    """A REGISTER of a topic, or of a channel and its topic."""
    return b"REGISTER " + _names(topic, channel)


def unregister_command(topic: str, channel: str = "") -> bytes:
    """An UNREGISTER of a channel, or of a topic with all its channels."""
    return b"UNREGISTER " + _names(topic, channel)


def _names(topic: str, channel: str) -> bytes:
    return (f"{topic} {channel}\n" if channel else f"{topic}\n").encode()


PING_COMMAND = b"PING\n"


class BadReply(ProtocolError):
    """The bytes from the other end are no replies of nsqlookupd."""

    code = "E_BAD_REPLY"


class ReplyParser:
    """Turns the bytes of one nsqlookupd into replies.

    Feed it whatever was received, cut anywhere; it keeps the unfinished tail.
    """

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Every reply that ``chunk`` completes, in order.

        Raises:
            BadReply: the size of a reply is out of bounds; feed no more.
        """
        replies: list[bytes] = []
        buffer, position = self._tail + chunk, 0
        while len(buffer) - position >= _SIZE.size:
            (size,) = _SIZE.unpack_from(buffer, position)
            if not 0 <= size <= MAX_REPLY_SIZE:
                raise BadReply(f"reply of {size} bytes")
            end = position + _SIZE.size + size
            if len(buffer) < end:
                break
            replies.append(buffer[position + _SIZE.size : end])
            position = end
        self._tail = buffer[position:]
        return replies


def is_error_reply(data: bytes) -> bool:
    """Whether a reply reports an error; nsqlookupd closes the connection after it."""
    return data.startswith(b"E_")
