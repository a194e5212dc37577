"""What can be published: checks of topics, bodies and delays, made before anything is sent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from nsqclient.core.arguments import MAX_INT32, Duration, seconds
from nsqclient.core.errors import PublishError
from nsqclient.core.log import RateLimited
from nsqclient.messages.copies import COPY_KEY
from nsqcore.names import is_valid_name
from nsqcore.wire.headers import RESERVED, BadHeaders, encode_headers

_unsendable = RateLimited("nsqclient: the headers that the hook publishing gave: %s")

Body = bytes | bytearray | memoryview
"""What can be published; a copy is made of what could change."""

Encode = Callable[[Any], bytes]
"""Makes a body of a value."""


def check_topic(topic: str) -> None:
    """Raise PublishError if nsqd would refuse the name."""
    if not isinstance(topic, str) or not is_valid_name(topic):
        raise PublishError(f"{topic!r} is not a valid topic name", code="E_BAD_TOPIC")


def check_body(body: Any, encode: Encode | None = None) -> bytes:
    """The bytes of ``body``: its own, or those that ``encode`` makes of what is no bytes.

    Raises:
        TypeError: it is no bytes.
        PublishError: it is empty, or larger than a frame can be.
    """
    if not isinstance(body, bytes):
        if not isinstance(body, bytearray | memoryview):
            if encode is None:
                raise TypeError(f"a body is bytes, not {type(body).__name__}")
            return check_body(encode(body))
        body = bytes(body)
    if not 0 < len(body) <= MAX_INT32:
        raise PublishError(f"a body of {len(body)} bytes cannot be sent", code="E_BAD_MESSAGE")
    checked: bytes = body
    return checked


def check_bodies(bodies: Sequence[Any], encode: Encode | None = None) -> list[bytes]:
    """The bytes of each of ``bodies``; raises what `check_body` raises."""
    if isinstance(bodies, str | bytes | bytearray | memoryview):
        raise TypeError(f"bodies are a list of bytes, not {type(bodies).__name__}")
    checked = [check_body(body, encode) for body in bodies]
    if sum(map(len, checked)) + 4 * len(checked) + 4 > MAX_INT32:
        raise PublishError("the bodies are too large for one command", code="E_BAD_BODY")
    return checked


def check_delay(defer: Duration) -> float:
    """``defer`` in seconds; raises PublishError if it is negative or no number."""
    try:
        return seconds(defer, "defer")
    except ValueError as error:
        raise PublishError(f"cannot defer by {defer}: {error}", code="E_INVALID") from error


def check_headers(headers: Mapping[str, str] | None) -> bytes:
    """The block of ``headers``; raises PublishError if they cannot be sent."""
    if not headers:
        return b""
    own = {name: value for name, value in headers.items() if not name.startswith(RESERVED)}
    try:
        return encode_headers(own)
    except BadHeaders as error:
        raise PublishError(str(error)) from error


def headers_block(headers: object, instead: bytes) -> bytes:
    """The block of the ``headers`` that a hook gave; ``instead`` if it gave none, or unsendable."""
    if not isinstance(headers, Mapping):
        return instead
    try:
        return check_headers(headers)
    except PublishError as error:
        _unsendable.warning(error)
        return instead


def with_copy_key(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """``headers`` with a new key, which all copies of a message share; a key of theirs is kept."""
    return {COPY_KEY: uuid4().hex, **(headers or {})}
