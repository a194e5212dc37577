"""Regular expressions that were written for the original, in Go's dialect.

Auth servers send them, and settings have them. What Python spells otherwise and may well be met is
translated; a pattern that would mean something else here is refused.
"""

import re
import warnings

# Names are ASCII, so that ASCII classes do.
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_GO_ONLY = re.compile(r"\[:(\w+):\]|\\(.)", re.DOTALL)


def compile_pattern(text: str) -> re.Pattern[str]:
    """``text`` as Python's expression of the same meaning. Raises ValueError."""
    translated = _GO_ONLY.sub(_translate, text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # of sets that Python may come to nest
            return re.compile(translated)
    except (re.error, RecursionError, OverflowError, FutureWarning) as error:
        raise ValueError(f"invalid pattern {text!r:.200}: {error}") from error


def _translate(found: re.Match[str]) -> str:
    """A class such as ``[:alpha:]`` or an escaped character, as Python has it."""
    if found[1] is not None:
        return _CLASSES.get(found[1], found[0])
    return r"\Z" if found[2] == "z" else found[0]
