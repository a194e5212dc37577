"""The lines of an ``--auth-file``, which nsqd, nsqlookupd and nsqadmin share.

One line is ``name:role:hash``, perhaps with `` topics=orders*,billing`` behind it. Blank lines and
those that begin with ``#`` do not count. ``role`` is one or more roles, separated by commas. The
hash says what kind of credential it is: ``sha256:…`` a token's, ``cert:…`` a name in a client
certificate (the common name, or ``dns:``, ``uri:``, ``email:``, ``ip:`` and another), anything else
a password's, for people who log in at nsqadmin.
"""

import re
from collections.abc import Iterator

from nsqcore.access.tokens import is_token_hash
from nsqcore.classes import field, frozen
from nsqcore.names import MAX_NAME_LENGTH

CERTIFICATE = "cert:"

_NAME_KINDS = ("cn:", "dns:", "uri:", "email:", "ip:")

_GLOB = re.compile(rf"[.a-zA-Z0-9_\-#*?]{{1,{MAX_NAME_LENGTH}}}")
_TOPICS = re.compile(r"[ \t]+topics=(\S*)$")


class BadLine(ValueError):
    """A line is not what it should be; the text says which and why, and shows no hash."""


@frozen
class Line:
    """One entry. ``topics`` is None where the line does not say."""

    number: int
    name: str
    roles: tuple[str, ...]
    hash: str = field(repr=False)
    topics: tuple[str, ...] | None = None

    @property
    def is_token(self) -> bool:
        """Whether it is a token's."""
        return is_token_hash(self.hash)

    @property
    def is_certificate(self) -> bool:
        """Whether it is a client certificate's."""
        return self.hash.startswith(CERTIFICATE) and len(self.hash) > len(CERTIFICATE)


def certificate_name(text: str) -> str:
    """A name in a certificate with its kind; without one, ``text`` is a common name."""
    return text if text.startswith(_NAME_KINDS) else f"cn:{text}"


def parse_topics(text: str) -> tuple[str, ...]:
    """The globs in ``text``, separated by commas. Raises ValueError."""
    globs = tuple(text.split(","))
    for glob in globs:
        if not _GLOB.fullmatch(glob):
            raise ValueError(f"{glob[:80]!r} is no topic, nor a pattern of topics such as orders*")
    return globs


def parse_lines(content: str, source: str) -> Iterator[Line]:
    """The entries in a file's content.

    Raises:
        BadLine: naming ``source`` and the line.
    """
    for number, text in enumerate(content.splitlines(), 1):
        text = text.strip()
        if not text or text.startswith("#"):
            continue
        topics = None
        if found := _TOPICS.search(text):
            try:
                topics = parse_topics(found[1])
            except ValueError as error:
                raise BadLine(f"{source}, line {number}: {error}") from None
            text = text[: found.start()]
        name, _, rest = text.partition(":")
        roles, _, hashed = rest.partition(":")
        yield Line(number, name, tuple(roles.split(",")), hashed, topics)


def entry(name: str, roles: tuple[str, ...], hashed: str, topics: tuple[str, ...] | None) -> str:
    """The line for these."""
    line = f"{name}:{','.join(roles)}:{hashed}"
    return line if topics is None else f"{line} topics={','.join(topics)}"
