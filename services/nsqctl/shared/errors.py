"""What a command raises for its user."""

from nsqcore.errors import NsqError


class CommandFailed(NsqError):
    """A command came to nothing; the text says why, in a line or a few."""
