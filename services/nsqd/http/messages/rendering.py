"""A message as JSON: its body as text, in base64, or not at all, and cut where it is long."""

import json
import re
from base64 import b64encode
from json.encoder import encode_basestring as quoted

from nsqcore.classes import frozen
from nsqcore.wire.headers import BadHeaders, decode_headers, split_record
from nsqd.client.subscriber import ClientSubscriber
from nsqd.engine.browsing.looking import Sight
from nsqd.engine.delivery.consumer import Consumer
from nsqd.engine.messages.message import message_id, timestamp

BASE64 = "base64"
TEXT = "text"
NONE = "none"
FORMS = (BASE64, TEXT, NONE)

# What JSON writes as six characters.
_CONTROLS = re.compile(r"[\0-\x07\x0b\x0e-\x1f]")


@frozen
class Form:
    """How bodies are shown: as one of `FORMS`, their first ``longest`` bytes (None: all)."""

    form: str
    longest: int | None = None

    def render(self, sight: Sight) -> str:
        """The JSON of a message."""
        record = sight.record
        parts = [
            f'{{"id":{quoted(message_id(record).decode("latin-1"))}'
            f',"timestamp":{timestamp(record)},"attempts":{sight.attempts}'
            f',"state":"{sight.state}"'
        ]
        parts += [
            f',"{name}":{value}'
            for name, value in (
                ("due", sight.due),
                ("delay", sight.delay),
                ("deadline", sight.deadline),
            )
            if value
        ]
        if sight.holder is not None:
            parts.append(_holder(sight.holder))
        body, block = split_record(record)
        parts.append(f',"size":{len(body)}')
        if self.form != NONE:
            parts.append(self._body(body))
        if block:
            parts.append(_headers(block))
        parts.append("}")
        return "".join(parts)

    def _body(self, body: bytes) -> str:
        cut = ""
        if self.longest is not None and self.longest < len(body):
            body, cut = body[: self.longest], ',"truncated":true'
        if self.form == TEXT:
            text = _text(body, whole=not cut)
            if text is not None:
                return f',"encoding":"text","body":{quoted(text)}{cut}'
        return f',"encoding":"base64","body":"{b64encode(body).decode()}"{cut}'


def _text(body: bytes, *, whole: bool) -> str | None:
    """``body`` as text; None if it is none, or one that JSON would swell. A character that was cut
    at the end is left out, unless the body is ``whole``."""
    for left_out in range(1 if whole else 4):
        try:
            text = body[: len(body) - left_out].decode()
        except UnicodeDecodeError:
            continue
        return None if 4 * len(_CONTROLS.findall(text)) > len(text) else text
    return None


def _headers(block: bytes) -> str:
    try:
        headers = decode_headers(block)
    except BadHeaders:  # what a damaged record has
        return ""
    return f',"headers":{json.dumps(headers, ensure_ascii=False, separators=(",", ":"))}'


def _holder(consumer: Consumer) -> str:
    subscriber = consumer.subscriber
    if not isinstance(subscriber, ClientSubscriber):
        return ""
    client = subscriber.client
    return (
        f',"client":{quoted(client.peer.address)},"client_id":{quoted(client.identity.client_id)}'
    )
