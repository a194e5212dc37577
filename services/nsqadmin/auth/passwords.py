"""Password hashes, by werkzeug: scrypt with its parameters and salt in the text.

`hash_password` makes what ``--auth-file`` holds: ``scrypt:N:r:p$salt$hash``. Files written by
version 0.1 hold ``scrypt$N$r$p$salt$hash`` in base64, which is still read.

Spec: RFC 7914; https://werkzeug.palletsprojects.com/en/stable/utils/#werkzeug.security
"""

import base64
import hashlib
import hmac
import re

from werkzeug.security import check_password_hash, generate_password_hash

# The cost that OWASP's password storage cheat sheet recommends (2**16, r=8, p=2 is equivalent to
# 2**17, p=1): 64 MB and about half a second per try.
_METHOD = "scrypt:65536:8:2"
_MAX_PASSWORD = 1024
# Bytes; a hash whose check would need more is refused when the file is read.
_MAX_MEMORY = 256 * 1024 * 1024
_HASH = re.compile(r"scrypt:(\d{1,9}):(\d{1,4}):(\d{1,4})\$[^$]*\$[0-9a-f]{128}")
_OLD_HASH = re.compile(r"scrypt\$(\d{1,9})\$(\d{1,4})\$(\d{1,4})\$([^$]*)\$([^$]*)")


def hash_password(password: str) -> str:
    """The hash of ``password``, for the file; takes about half a second."""
    return generate_password_hash(password, _METHOD)


def is_hash(text: str) -> bool:
    """Whether ``text`` is a hash that `verify_password` can check in bounded memory."""
    match = _HASH.fullmatch(text) or _OLD_HASH.fullmatch(text)
    if match is None:
        return False
    cost, block, parallel = (int(number) for number in match.groups()[:3])
    return 128 * cost * block * parallel <= 2 * _MAX_MEMORY


def verify_password(password: str, hashed: str) -> bool:
    """Whether ``password`` is the one that was hashed; takes as long as hashing."""
    if len(password) > _MAX_PASSWORD or not is_hash(hashed):
        return False
    try:
        if match := _OLD_HASH.fullmatch(hashed):
            return _verify_old(password, *match.groups())
        return check_password_hash(hashed, password)
    except ValueError:  # parameters that scrypt does not take; letters that are none
        return False


def _verify_old(
    password: str, cost: str, block: str, parallel: str, salt: str, digest: str
) -> bool:
    computed = hashlib.scrypt(
        password.encode(),
        salt=base64.b64decode(salt),
        n=int(cost),
        r=int(block),
        p=int(parallel),
        maxmem=_MAX_MEMORY,
        dklen=32,
    )
    return hmac.compare_digest(computed, base64.b64decode(digest))
