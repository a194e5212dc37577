"""Bearer tokens: how one is made, and the digest by which it is known.

A token is 256 random bits: nobody finds it by guessing, so that a fast hash keeps it as well as a
slow one would, and a request costs a microsecond instead of half a second.
"""

import hashlib
import re
import secrets

PREFIX = "nsq_"
HASH_PREFIX = "sha256:"
# A longer credential is none of ours.
MAX_TOKEN = 8192

_HASH = re.compile(r"sha256:[0-9a-f]{64}")


def make_token() -> str:
    """A new token."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_token(token: str | bytes) -> str:
    """What is kept of ``token``: ``sha256:`` and 64 hexadecimal digits."""
    raw = token.encode("utf-8", "surrogateescape") if isinstance(token, str) else token
    return HASH_PREFIX + hashlib.sha256(raw).hexdigest()


def is_token_hash(text: str) -> bool:
    """Whether ``text`` is what `hash_token` makes."""
    return _HASH.fullmatch(text) is not None
