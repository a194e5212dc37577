"""Versions: of the behaviour spoken here, of this distribution, and the ``--version`` line."""

import platform

# The release of NSQ whose behaviour this is. Peers are told it (IDENTIFY, /info, registration) and
# compare it.
VERSION = "1.3.0"


# The version of this distribution; a test holds it equal to pyproject.toml's. Asking the installed
# metadata costs 20 ms and reads files, which fails when there are no descriptors left.
RELEASE = "0.2.0"


def release() -> str:
    """The version of this distribution, as the package index knows it."""
    return RELEASE


def version_line(program: str, *, speedups: bool | None = None) -> str:
    """The line of ``--version`` for a daemon: ``nsqd v1.3.0 (built w/python3.11.7)`` and more.

    Client libraries match the first part against
    ``^[a-z]+ v\\d+\\.\\d+\\.\\d+(-[a-z]+)? \\(built w/[a-z0-9.-]+\\)``, so anything more stands
    behind it.

    Args:
        speedups: whether the compiled hot loops are in use; None if the program has none.
    """
    more = f"nsq-trio {release()}"
    if speedups is not None:
        more += ", compiled speed-ups" if speedups else ", pure Python"
    return f"{program} v{VERSION} (built w/python{platform.python_version().lower()}) ({more})"


def short_version_line(program: str) -> str:
    """The line of ``--version`` for a utility: name and version only."""
    return f"{program} v{VERSION}"
