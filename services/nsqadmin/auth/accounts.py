"""Users of ``--auth-file``: names, roles, hashed passwords.

The file has one user per line, ``name:role:hash``, perhaps with `` topics=orders*,billing`` behind
it, which limits the role to these topics; blank lines and lines that begin with ``#`` do not count,
nor do tokens and certificates, which are nsqd's and nsqlookupd's (`nsqcore.access`). A hash is what
``nsqadmin --hash-password`` prints (`nsqadmin.auth.passwords`). The file is read again when it has
changed. Passwords are never kept or logged.
"""

import contextlib
import enum
from pathlib import Path

from nsqadmin.auth.passwords import is_hash, verify_password
from nsqcore.access.lines import BadLine, parse_lines
from nsqcore.access.roles import ALL_TOPICS
from nsqcore.app.config.options import OptionsError
from nsqcore.classes import define, field, frozen
from nsqcore.globs import matches
from nsqcore.names import is_valid_name

# Stands in for who is unknown: a guess takes as long with a wrong name as with a right one.
_NOBODY = f"scrypt:65536:8:2${'A' * 16}${'0' * 128}"


class Role(enum.IntEnum):
    """What a user may do; each may do what those below may."""

    VIEWER = 1  # read
    OPERATOR = 2  # pause, unpause, empty, create
    ADMIN = 3  # delete, tombstone


@frozen
class RoleOnTopics:
    """A role, on the topics that any of ``topics``, globs, matches."""

    role: Role
    topics: tuple[str, ...] = (ALL_TOPICS,)

    def covers(self, topic: str) -> bool:
        """Whether it is for ``topic``; an empty one is all topics."""
        if ALL_TOPICS in self.topics:
            return True
        # what is no name could be read as a glob itself
        return is_valid_name(topic) and any(matches(glob, topic) for glob in self.topics)


@frozen
class Account:
    """One line of the file."""

    name: str
    role: Role
    hash: str = field(repr=False)
    topics: tuple[str, ...] = (ALL_TOPICS,)

    @property
    def grants(self) -> tuple[RoleOnTopics, ...]:
        """What the account may do where."""
        return (RoleOnTopics(self.role, self.topics),)


def parse_accounts(content: str, source: str) -> dict[str, Account]:
    """The accounts in a file's content.

    Raises:
        OptionsError: naming ``source`` and the line.
    """
    accounts: dict[str, Account] = {}
    try:
        lines = list(parse_lines(content, source))
    except BadLine as error:
        raise OptionsError(str(error)) from None
    roles = {item.name.lower(): item for item in Role}
    for line in lines:
        if line.is_token or line.is_certificate:
            continue  # of nsqd and nsqlookupd, who may have the same file
        name, role, hashed, number = line.name, ",".join(line.roles), line.hash, line.number
        if not name or role not in roles or not is_hash(hashed):
            raise OptionsError(
                f"{source}, line {number}: expected name:viewer|operator|admin:hash,"
                " with a hash from nsqadmin --hash-password"
            )
        if name in accounts:
            raise OptionsError(f"{source}, line {number}: {name!r} is there twice")
        accounts[name] = Account(name, roles[role], hashed, line.topics or (ALL_TOPICS,))
    return accounts


@define
class Accounts:
    """The accounts of a file, as it is now."""

    path: Path
    _stamp: tuple[int, int] = (0, 0)
    _accounts: dict[str, Account] = field(factory=dict, repr=False)

    def get(self, name: str) -> Account | None:
        """The account of ``name`` as the file has it now.

        A file that cannot be read any more, or is broken, leaves the last good accounts in force.
        """
        with contextlib.suppress(OptionsError, OSError):
            self.load()
        return self._accounts.get(name)

    def load(self) -> None:
        """Read the file if it has changed.

        Raises:
            OptionsError: a line is not what it should be.
            OSError: it cannot be read.
        """
        stat = self.path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            content = self.path.read_text(encoding="utf-8")
            self._accounts = parse_accounts(content, str(self.path))
            self._stamp = stamp

    def verify(self, name: str, password: str) -> Account | None:
        """The account, if the password is right. Slow on purpose: run it in a thread."""
        account = self.get(name)
        hashed = account.hash if account else _NOBODY
        return account if verify_password(password, hashed) and account else None
