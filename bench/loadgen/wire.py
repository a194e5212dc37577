"""The bytes of the V2 protocol as a load generator needs them: commands out, frames in.

Commands are built once and sent many times. Frames are cut out by the general `take_frames`; runs
of equal messages take the faster road of `bench.loadgen.scan`. No sockets, no clock.
"""

import json
import struct

MAGIC = b"  V2"
U32 = struct.Struct(">I")
U64 = struct.Struct(">Q")
HEADER = struct.Struct(">II")

RESPONSE, ERROR, MESSAGE = 0, 1, 2
HEARTBEAT = b"_heartbeat_"
OK_FRAME = b"\0\0\0\x06\0\0\0\0OK"
NOP = b"NOP\n"

# Where the parts of a message frame are: size, type, timestamp, attempts, id, body.
ID_AT = 18
BODY_AT = 34


class LoadError(Exception):
    """The server did something that makes the measurement worthless."""


def identify(client_id: str, **settings: int | None) -> bytes:
    """An IDENTIFY command; settings that are None are left to the server."""
    body: dict[str, object] = {
        "client_id": client_id,
        "hostname": client_id,
        "user_agent": "bench-loadgen/1",
    }
    body.update({name: value for name, value in settings.items() if value is not None})
    data = json.dumps(body).encode()
    return b"IDENTIFY\n" + U32.pack(len(data)) + data


def publish_command(topic: str, bodies: list[bytes]) -> bytes:
    """A PUB of one body, or an MPUB of several."""
    if len(bodies) == 1:
        return b"PUB %s\n" % topic.encode() + U32.pack(len(bodies[0])) + bodies[0]
    packed = U32.pack(len(bodies)) + b"".join(U32.pack(len(b)) + b for b in bodies)
    return b"MPUB %s\n" % topic.encode() + U32.pack(len(packed)) + packed


def subscribe_command(topic: str, channel: str) -> bytes:
    """A SUB command."""
    return b"SUB %s %s\n" % (topic.encode(), channel.encode())


def ready_command(count: int) -> bytes:
    """An RDY command."""
    return b"RDY %d\n" % count


def take_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The complete frames in ``data`` as (type, payload), and the bytes left over."""
    frames = []
    position, end = 0, len(data)
    while end - position >= HEADER.size:
        size, kind = HEADER.unpack_from(data, position)
        if end - position < 4 + size:
            break
        frames.append((kind, data[position + 8 : position + 4 + size]))
        position += 4 + size
    return frames, data[position:]


def count_acknowledged(frames: list[tuple[int, bytes]]) -> tuple[int, int]:
    """How many OKs, and replies to IDENTIFY, and how many heartbeats are among ``frames``; anything
    else is an error."""
    acknowledged = heartbeats = 0
    for kind, payload in frames:
        if kind == RESPONSE and (payload == b"OK" or payload.startswith(b"{")):
            acknowledged += 1
        elif kind == RESPONSE and payload == HEARTBEAT:
            heartbeats += 1
        else:
            raise LoadError(f"unexpected answer: type {kind} {payload[:80]!r}")
    return acknowledged, heartbeats
