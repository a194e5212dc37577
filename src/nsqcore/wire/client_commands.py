"""Client-to-server commands, as bytes: what a client puts on the wire.

The counterpart of `nsqcore.wire.parser`, which takes these apart. Names are
checked by the caller; delays come as whole milliseconds, as the protocol has them.

Like all of `nsqcore.wire`: no I/O, no clock, no trio.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct

MAGIC_V2 = b"  V2"
NOP = b"NOP\n"
START_CLOSE = b"CLS\n"

_size = Struct(">i").pack
_sizes = Struct(">ii").pack


def identify(fields: Mapping[str, object]) -> bytes:
    """IDENTIFY with ``fields`` as its JSON body."""
    body = json.dumps(dict(fields), separators=(",", ":")).encode()
    return b"IDENTIFY\n" + _size(len(body)) + body


def auth(secret: bytes) -> bytes:
    """AUTH with ``secret``."""
    return b"AUTH\n" + _size(len(secret)) + secret


def subscribe(topic: str, channel: str) -> bytes:
    """SUB: become a consumer of ``channel`` of ``topic``."""
    return f"SUB {topic} {channel}\n".encode()


def ready(count: int) -> bytes:
    """RDY: at most ``count`` messages may be in flight."""
    return b"RDY %d\n" % count


def finish(id: bytes) -> bytes:
    """FIN for one message."""
    return b"FIN " + id + b"\n"


def requeue(id: bytes, delay: int) -> bytes:
    """REQ: give the message back, to be delivered again after ``delay`` ms."""
    return b"REQ %b %d\n" % (id, delay)


def terminate(id: bytes, reason: str = "") -> bytes:
    """TERM: give the message up, for a ``reason``."""
    words = b" " + reason.encode()[:256].replace(b"\n", b" ") if reason else b""
    return b"TERM " + id + words + b"\n"


def touch(id: bytes) -> bytes:
    """TOUCH: start the message's timeout anew."""
    return b"TOUCH " + id + b"\n"


# Programs publish to few topics; beyond the limit only the speed is lost.
@lru_cache(maxsize=1024)
def _head(command: bytes, topic: str) -> bytes:
    return b"%b %b\n" % (command, topic.encode())


def publish(topic: str, body: bytes) -> bytes:
    """PUB of one message."""
    return _head(b"PUB", topic) + _size(len(body)) + body


def publish_many(topic: str, bodies: Sequence[bytes]) -> bytes:
    """MPUB: all of ``bodies`` or none."""
    sizes = _size
    payload = b"".join([part for body in bodies for part in (sizes(len(body)), body)])
    return _head(b"MPUB", topic) + _sizes(len(payload) + 4, len(bodies)) + payload


def publish_deferred(topic: str, body: bytes, delay: int) -> bytes:
    """DPUB: one message, to be delivered after ``delay`` ms."""
    return b"DPUB %b %d\n" % (topic.encode(), delay) + _size(len(body)) + body


def _headed(body: bytes, block: bytes) -> bytes:
    return b"".join((_size(2 + len(block) + len(body)), len(block).to_bytes(2, "big"), block, body))


def publish_headed(topic: str, body: bytes, block: bytes, delay: int | None = None) -> bytes:
    """XPUB of one message with a ``block`` of headers; ``delay`` is in ms."""
    line = f"XPUB {topic}\n" if delay is None else f"XPUB {topic} {delay}\n"
    return line.encode() + _headed(body, block)


def publish_many_headed(topic: str, bodies: Sequence[bytes], block: bytes) -> bytes:
    """XMPUB: all of ``bodies``, each with the same headers, or none."""
    payload = b"".join([_headed(body, block) for body in bodies])
    return f"XMPUB {topic}\n".encode() + _sizes(len(payload) + 4, len(bodies)) + payload
