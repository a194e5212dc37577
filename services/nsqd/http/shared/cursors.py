"""Cursors: where the next page of a listing begins, as a text that only this nsqd can make.

A place is numbers that a queue believes, so each is signed, with a key that is made anew at every
start, together with what it is a place of.
"""

import binascii
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from hmac import compare_digest
from itertools import count
from weakref import WeakKeyDictionary

from nsqcore.classes import define, field
from nsqcore.http.responses import HttpError
from nsqd.engine.messages.queue import Place

# Longer than any that is made.
LONGEST = 300
_SIGNATURE = 12


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


@define(eq=False, repr=False)
class SignedCursors:
    """Makes and reads cursors. ``about`` says what is listed, ``owner`` is who has the messages:
    another one of the same name has other places."""

    _key: bytes = field(factory=lambda: secrets.token_bytes(32), repr=False)
    _serials: WeakKeyDictionary[object, int] = field(factory=WeakKeyDictionary, init=False)
    _numbers: "count[int]" = field(factory=count, init=False)

    def write(self, about: str, owner: object, place: Place) -> str:
        """The cursor of ``place``."""
        payload = json.dumps([self._serial(owner), *place], separators=(",", ":")).encode()
        return _text(self._sign(about, payload) + payload)

    def read(self, about: str, owner: object, cursor: str) -> Place:
        """The place of ``cursor``. Raises HttpError."""
        try:
            if len(cursor) > LONGEST:
                raise ValueError
            raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            if _text(raw) != cursor:  # there is something in it that is no part of it
                raise ValueError
            signature, payload = raw[:_SIGNATURE], raw[_SIGNATURE:]
            if not compare_digest(signature, self._sign(about, payload)):
                raise ValueError
        except (ValueError, binascii.Error):
            raise HttpError(
                400,
                "INVALID_CURSOR",
                detail="not one that this nsqd gave for this list since it was started",
            ) from None
        serial, *place = json.loads(payload)
        if serial != self._serial(owner):
            raise HttpError(
                410, "STALE_CURSOR", detail="what was listed has been deleted or replaced since"
            )
        return tuple(place)

    def _serial(self, owner: object) -> int:
        serial = self._serials.get(owner)
        if serial is None:
            serial = self._serials[owner] = next(self._numbers)
        return serial

    def _sign(self, about: str, payload: bytes) -> bytes:
        given = about.encode() + b"\0" + payload
        return blake2b(given, digest_size=_SIGNATURE, key=self._key).digest()
