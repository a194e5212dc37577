"""Regular expressions in Go's dialect, matched in linear time.

Auth servers send them, and settings have them: both were written for the original, whose engine is
RE2. Here it is RE2, too: no pattern can take longer than its length times that of the name. The
syntax is Go's: the three things that RE2's C++ form takes beyond it are refused.

The engine is loaded with the first pattern: it is 3 MB, and most daemons have none. Who will have
some calls `load_engine` first: that takes a tenth of a second, and descriptors.
"""

import re
from typing import Any

from nsqcore.classes import define, field
from nsqcore.errors import NsqError
from nsqcore.late import load

# Patterns come by the thousands; what RE2 may use for one of them, in bytes.
MAX_MEMORY = 1024 * 1024
# Bytes of a pattern: RE2 looks at all of it before it says that it is too large, 0.2 s for a MiB.
MAX_LENGTH = 64 * 1024
# Escaped characters, one after the other: the C of "\\C" is none.
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class BadPattern(NsqError, ValueError):
    """It is no regular expression, or one too large."""


_HUGE = re.compile(r"\{,?[0-9]{8}|\{[0-9]*,[0-9]{8}")
_MAX_DEPTH = 1000


def load_engine() -> None:
    """Have it here from now on. Raises ImportError, OSError."""
    load("re2:compile")


@define(eq=False, repr=False)
class Pattern:
    """A compiled expression. Raises BadPattern where it is made of a ``text`` that is none."""

    text: str
    _found: Any = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        options, failed = load("re2:Options")(), load("re2:error")
        options.log_errors = False
        options.max_mem = MAX_MEMORY
        try:
            _refuse(self.text)
            self._found = load("re2:compile")(self.text, options=options)
        except BadPattern as error:
            reason = str(error)
        except failed as error:
            told = error.args[0] if error.args else ""
            reason = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
        except ValueError as error:  # it cannot be encoded
            reason = str(error)
        else:
            return
        raise BadPattern(f"invalid pattern {self.text[:200]!r}: {reason[:200]}")

    def matches(self, name: str) -> bool:
        """Whether it is found anywhere in ``name``."""
        try:
            return self._found.search(name) is not None
        except UnicodeEncodeError:
            return False


def _refuse(text: str) -> None:
    """Raises BadPattern for what is too long, and for what Go's parser refuses and RE2's takes."""
    if len(text) > MAX_LENGTH:
        raise BadPattern(f"longer than {MAX_LENGTH}")
    if "C" in _ESCAPE.findall(text):
        raise BadPattern("invalid escape sequence: \\C")
    if _HUGE.search(text):
        raise BadPattern("invalid repeat count")
    depth = 0
    if text.count("(") > _MAX_DEPTH:
        for bracket in re.findall(r"[()]", text):
            depth += 1 if bracket == "(" else -1
            if depth > _MAX_DEPTH:
                raise BadPattern("expression nests too deeply")
