"""What nsqd says when it refuses a message for its size."""

import re

from nsqclient import PublishError

_LIMIT = re.compile(r"\d+ > (\d+)")

TOO_LARGE = ("E_BAD_MESSAGE", "E_BAD_BODY")


def refused_limit(error: PublishError) -> int | None:
    """The size that nsqd accepts, in bytes: of a message, or of a command with ``E_BAD_BODY``.

    None if the refusal is about something else. nsqd tells it nowhere but here.
    """
    match = _LIMIT.search(str(error)) if error.code in TOO_LARGE else None
    return None if match is None else int(match[1])
