"""Secrets in addresses, taken out of whatever is logged, shown or answered.

Operators put passwords into URLs: ``https://user:password@host/path?token=secret``. Every text that
may hold one goes through `redact`. ``code`` is what a provider of logins sends somebody back with.
"""

import re

HIDDEN = "***"

# The part before an @ of a URL, or of user:password@host without a scheme.
# Bounded: whatever a peer gets into a log line is read once.
_USER = re.compile(
    r"(?<=://)[^/?#\s\"'<>]{0,500}@"
    r"|(?<![^\s\"'=,(\[])[^\s/@:\"'=,(\[]{1,200}:[^\s/@\"']{0,200}@"
)
_ARGUMENT = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:secret|token|password|passwd|pwd|signature|credential)s?|sig|auth|code"
    r"|[\w.-]*(?:api|access|private|client)[_.-]?key)=)[^&;#\s\"'<>]+"
)


def redact(text: str) -> str:
    """``text`` with the users, passwords and secret arguments of its URLs hidden."""
    if "@" in text:
        text = _USER.sub(f"{HIDDEN}@", text)
    return _ARGUMENT.sub(rf"\1{HIDDEN}", text) if "=" in text else text
