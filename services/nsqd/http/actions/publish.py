"""/pub and /mpub: a main road into the broker, so the way from body to queue is short.

The body is the message, or many; what type it claims to have does not matter. Delivery follows at
the end of the tick.
"""

import logging
import re
from functools import partial

from nsqcore.access.roles import PUBLISH_TOPIC
from nsqcore.http.later import Later
from nsqcore.http.request import Request
from nsqcore.http.responses import OK, HttpError
from nsqcore.http.router import Answer, Router
from nsqcore.units import MS
from nsqcore.wire.headers import BadHeaders, encode_headers, expect_public, with_block
from nsqcore.wire.hot import split_bodies
from nsqd.engine.errors import TOPIC_FULL, Exiting
from nsqd.http.shared.arguments import boolean, new_topic_name
from nsqd.http.shared.context import NsqdApi

logger = logging.getLogger(__name__)


_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)

# Of a binary body: the count, then at least a size and one byte each.
_COUNT_SIZE = 4
_SMALLEST = 5


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add /pub and /mpub to ``router``."""
    limits = api.limits
    router.add(
        "POST",
        "/pub",
        partial(pub, api),
        max_body=limits.max_msg_size,
        too_big="MSG_TOO_BIG",
        quiet=True,
        rule=PUBLISH_TOPIC,
    )
    router.add(
        "POST",
        "/mpub",
        partial(mpub, api),
        max_body=limits.max_body_size,
        too_big="BODY_TOO_BIG",
        quiet=True,
        rule=PUBLISH_TOPIC,
    )


def pub(api: NsqdApi, request: Request) -> Answer:
    """POST /pub: the body is one message; ``defer=`` holds it back for so many milliseconds.

    ``header=name:value``, any number of them, goes with it to consumers that know headers.
    """
    if not request.body:
        raise HttpError(400, "MSG_EMPTY")
    args = request.args()
    topic = new_topic_name(api.broker, args)
    block = _headers(args["header"]) if "header" in args else b""
    delay = 0
    if "defer" in args:
        _create_topic(api, topic)  # even a bad delay makes the topic, as in the original
        delay = _delay(api, args["defer"][0])
    return _publish(api, topic, [request.body], block, delay)


def _publish(api: NsqdApi, topic: str, bodies: list[bytes], block: bytes, delay: int = 0) -> Answer:
    """Answers when the storage says what has become of the messages, if there are any.

    Each has the headers of ``block``, if there are any.
    """
    later = Later()
    done = partial(_published, later, topic)
    if bodies and block:
        headed = [with_block(body, block) for body in bodies]
        api.broker.publish_headed(topic, headed, api.now(), done, delay=delay)
    elif bodies:
        api.broker.publish(topic, bodies, api.now(), done, delay=delay)
    else:
        api.broker.topics[topic].when_open(partial(done, None))
    return later


def _published(later: Later, topic: str, failure: str | None) -> None:
    later.answer(OK if failure is None else _refusal(topic, failure).response())


def _create_topic(api: NsqdApi, topic: str) -> None:
    try:
        api.broker.create_topic_to_publish(topic)
    except (OSError, Exiting) as error:
        raise _refusal(topic, str(error)) from None


def _refusal(topic: str, failure: str) -> HttpError:
    if failure == TOPIC_FULL:
        return HttpError(429, "TOPIC_FULL")
    logger.error("http: failed to publish to topic(%s) - %s", topic, failure)
    return HttpError(503, "EXITING")


def _delay(api: NsqdApi, text: str) -> int:
    """``defer`` in ns. Raises HttpError."""
    if not _INTEGER.fullmatch(text) or not 0 <= int(text) * MS <= api.limits.max_defer:
        raise HttpError(400, "INVALID_DEFER")
    return int(text) * MS


def _headers(given: list[str]) -> bytes:
    """The block of headers, each ``name:value``. Raises HttpError."""
    headers: dict[str, str] = {}
    try:
        for header in given:
            name, colon, value = header.partition(":")
            if not colon:
                raise BadHeaders(f"a header is name:value, not {name!r:.80}")
            headers[name] = value
        expect_public(headers)
        return encode_headers(headers)
    except BadHeaders as error:
        raise HttpError(400, "INVALID_HEADER", detail=str(error)) from None


def mpub(api: NsqdApi, request: Request) -> Answer:
    """POST /mpub: a message a line, or with ``binary=true`` sized messages as in MPUB.

    Each has what ``header=`` says, as in `pub`.
    """
    args = request.args()
    topic = new_topic_name(api.broker, args)
    block = _headers(args["header"]) if "header" in args else b""
    _create_topic(api, topic)  # even a bad body makes the topic, as in the original
    if "binary" in args and boolean(args["binary"][0], default=True):
        bodies = read_binary(request.body, api.limits.max_msg_size, api.limits.max_body_size)
    else:
        bodies = read_lines(request.body, api.limits.max_msg_size)
    return _publish(api, topic, bodies, block)


def read_lines(body: bytes, max_msg_size: int) -> list[bytes]:
    """The lines of ``body`` that are not empty. Raises HttpError."""
    lines = [line for line in body.split(b"\n") if line]
    if lines and max(map(len, lines)) > max_msg_size:
        raise HttpError(413, "MSG_TOO_BIG")
    return lines


def read_binary(body: bytes, max_msg_size: int, max_body_size: int) -> list[bytes]:
    """The sized messages in ``body``; whatever follows them is ignored. Raises HttpError."""
    count = int.from_bytes(body[:_COUNT_SIZE], "big", signed=True)
    most = (max_body_size - _COUNT_SIZE) // _SMALLEST
    if len(body) < _COUNT_SIZE or not 0 < count <= most:
        raise HttpError(413, "BAD_BODY")
    bodies: list[bytes] = []
    split_bodies(body, _COUNT_SIZE, len(body), count, max_msg_size, bodies)
    if len(bodies) < count:
        raise HttpError(413, "BAD_MESSAGE")
    return bodies
