"""What can be published: checks of topics, bodies and delays, made before anything is sent."""

from collections.abc import Sequence

from nsqclient.core.arguments import MAX_INT32, Duration, seconds
from nsqclient.core.errors import PublishError
from nsqcore.names import is_valid_name

Body = bytes | bytearray | memoryview
"""What can be published; a copy is made of what could change."""


def check_topic(topic: str) -> None:
    """Raise PublishError if nsqd would refuse the name."""
    if not isinstance(topic, str) or not is_valid_name(topic):
        raise PublishError(f"{topic!r} is not a valid topic name", code="E_BAD_TOPIC")


def check_body(body: Body) -> bytes:
    """The bytes of ``body``.

    Raises:
        TypeError: it is no bytes.
        PublishError: it is empty, or larger than a frame can be.
    """
    if not isinstance(body, bytes):
        if not isinstance(body, bytearray | memoryview):
            raise TypeError(f"a body is bytes, not {type(body).__name__}")
        body = bytes(body)
    if not 0 < len(body) <= MAX_INT32:
        raise PublishError(f"a body of {len(body)} bytes cannot be sent", code="E_BAD_MESSAGE")
    return body


def check_bodies(bodies: Sequence[Body]) -> list[bytes]:
    """The bytes of each of ``bodies``; raises what `check_body` raises."""
    if isinstance(bodies, str | bytes | bytearray | memoryview):
        raise TypeError(f"bodies are a list of bytes, not {type(bodies).__name__}")
    checked = [check_body(body) for body in bodies]
    if sum(map(len, checked)) + 4 * len(checked) + 4 > MAX_INT32:
        raise PublishError("the bodies are too large for one command", code="E_BAD_BODY")
    return checked


def check_delay(defer: Duration) -> float:
    """``defer`` in seconds; raises PublishError if it is negative or no number."""
    try:
        return seconds(defer, "defer")
    except ValueError as error:
        raise PublishError(f"cannot defer by {defer}: {error}", code="E_INVALID") from error
