"""The language of what is being made: that of a request, or of the stream that a page is drawn for.

It is known to whoever asks, as functions that make texts stand deep below those that know who
reads them. Logs, the API and what daemons say stay as they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from nsqadmin.language.catalogue import ENGLISH, Language

_SPOKEN: ContextVar[Language] = ContextVar("language", default=ENGLISH)


def spoken() -> Language:
    """The language of this moment."""
    return _SPOKEN.get()


def speak(language: Language) -> None:
    """Speak ``language`` from now on in this task."""
    _SPOKEN.set(language)


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Speaks ``language`` inside the block, which must not wait."""
    token = _SPOKEN.set(language)
    try:
        yield
    finally:
        _SPOKEN.reset(token)


def gettext(text: str, /, **values: object) -> str:
    """``text`` in the language of this moment, with ``values`` where it has ``%(name)s``."""
    said = spoken().texts.gettext(text)
    return said % values if values else said


def ngettext(one: str, many: str, number: int, /, **values: object) -> str:
    """``one`` or ``many``, as the language of this moment wants it for ``number`` things."""
    return spoken().texts.ngettext(one, many, number) % values


def N_(text: str) -> str:
    """``text`` as it is, to be found for the catalogues; whoever shows it calls `gettext`."""
    return text


def N2_(one: str, many: str) -> tuple[str, str]:
    """The same of a text with a number, for `ngettext`."""
    return one, many
