"""The token that this program shows to daemons: from a file, which may change meanwhile."""

import logging
import os
import re

from nsqcore.access.tokens import MAX_TOKEN
from nsqcore.classes import define, field
from nsqcore.errors import NsqError

logger = logging.getLogger(__name__)

# What a header can carry; a token is in the first line, as `nsqctl token` prints it.
_TOKEN = re.compile(rf"[\x21-\x7e]{{1,{MAX_TOKEN}}}")


class BadToken(NsqError):
    """There is no token in a file; the text does not show what is."""


def token_in(text: str, source: str) -> str:
    """The token in the first line of ``text``. Raises BadToken."""
    line = text.strip().partition("\n")[0].strip()
    if not _TOKEN.fullmatch(line):
        raise BadToken(f"{source}: its first line is no token")
    return line


@define
class TokenFile:
    """The token in the first line of the file at ``path``, as it is now; called, it is that."""

    path: str
    _token: str = field(default="", init=False, repr=False)
    _stamp: tuple[int, int, int] = field(default=(0, 0, 0), init=False)
    _failure: str = field(default="", init=False)

    def __call__(self) -> str:
        """The token; what was read last where the file cannot be read any more."""
        try:
            self.load()
        except BadToken as error:
            if str(error) != self._failure:
                self._failure = str(error)
                logger.error("ACCESS: keeping the token in use - %s", error)
        else:
            self._failure = ""
        return self._token

    def load(self) -> None:
        """Read the file if it has changed. Raises BadToken."""
        try:
            found = os.stat(self.path)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp:
                return
            with open(self.path, encoding="ascii", errors="replace") as file:
                line = file.readline(MAX_TOKEN + 2)
        except OSError as error:
            raise BadToken(f"{self.path}: {error.strerror or error}") from None
        self._token, self._stamp = token_in(line, self.path), stamp
