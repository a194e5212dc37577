"""The credentials of an ``--auth-file``, as a daemon uses them: read at the start and at SIGHUP."""

import logging
import re
from pathlib import Path

from nsqcore.access.lines import CERTIFICATE, BadLine, Line, certificate_name, parse_lines
from nsqcore.access.roles import ALL_TOPICS, Role, RoleGrant
from nsqcore.classes import define, field, frozen

logger = logging.getLogger(__name__)

# What nsqadmin calls two of the roles.
_ALIASES = {"viewer": Role.READ, "operator": Role.OPERATE}
_ROLES = {role.value: role for role in Role} | _ALIASES
_NAME = re.compile(r"[^\s:]{1,128}")
# A file of a million tokens is a mistake.
MAX_FILE = 64 * 1024 * 1024


@frozen
class Credentials:
    """Grants by what proves them: the hash of a token, a name in a certificate with its kind."""

    tokens: dict[str, RoleGrant] = field(factory=dict, repr=False)
    certificates: dict[str, RoleGrant] = field(factory=dict, repr=False)

    def of_certificate(self, names: tuple[str, ...]) -> RoleGrant | None:
        """What the first of a certificate's ``names`` that is known allows."""
        return next((self.certificates[name] for name in names if name in self.certificates), None)


def parse_credentials(content: str, source: str) -> Credentials:
    """The tokens and certificates in a file's content; passwords are nsqadmin's and left out.

    Raises:
        BadLine: naming ``source`` and the line.
    """
    found = Credentials()
    for line in parse_lines(content, source):
        where = f"{source}, line {line.number}"
        if line.hash.startswith("scrypt"):
            continue
        if line.is_token:
            kind, key = found.tokens, line.hash
        elif line.is_certificate:
            kind, key = found.certificates, certificate_name(line.hash.removeprefix(CERTIFICATE))
        else:
            raise BadLine(
                f"{where}: expected name:role:hash, with a hash from nsqctl token, cert:<name>"
                " or, for nsqadmin, one from nsqadmin --hash-password"
            )
        if key in kind:
            raise BadLine(f"{where}: the same credential is there twice")
        kind[key] = _grant(line, where)
    return found


def parse_roles(words: tuple[str, ...]) -> frozenset[Role]:
    """The roles that ``words`` name. Raises ValueError."""
    if unknown := [word for word in words if word not in _ROLES]:
        known = ", ".join(role.value for role in Role)
        raise ValueError(f"unknown role {unknown[0][:80]!r}: expected {known}")
    return frozenset(_ROLES[word] for word in words)


def check_name(name: str) -> str:
    """``name``, if a line of the file can begin with it. Raises ValueError."""
    if not _NAME.fullmatch(name) or name.startswith("#"):
        raise ValueError(f"{name[:80]!r} is no name: expected one without spaces and colons")
    return name


def _grant(line: Line, where: str) -> RoleGrant:
    try:
        roles = parse_roles(line.roles)
        name = check_name(line.name)
    except ValueError as error:
        raise BadLine(f"{where}: {error}") from None
    return RoleGrant(name, roles, line.topics or (ALL_TOPICS,))


@define
class AuthFile:
    """The credentials of the file at ``path``."""

    path: Path
    credentials: Credentials = field(factory=Credentials, init=False)

    def load(self) -> None:
        """Read the file; if that fails all stays as it was.

        Raises:
            BadLine: a line is not what it should be.
            OSError: it cannot be read.
        """
        with self.path.open(encoding="utf-8-sig") as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise BadLine(f"{self.path}: more than {MAX_FILE} characters")
        self.credentials = parse_credentials(content, str(self.path))

    def reload(self) -> None:
        """Read the file again, as SIGHUP asks; keeps what is in force if it cannot."""
        try:
            self.load()
        except (BadLine, OSError, UnicodeDecodeError) as error:
            logger.error("ACCESS: keeping the credentials in force - %s", error)
        else:
            found = self.credentials
            logger.info(
                "ACCESS: %d tokens and %d certificates read from %s",
                len(found.tokens),
                len(found.certificates),
                self.path,
            )
