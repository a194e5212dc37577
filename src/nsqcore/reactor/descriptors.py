"""How many connections the process may have open."""

import contextlib
import resource


def raise_limit() -> int:
    """The number of descriptors this process may use, now as high as it may set it itself.

    Shells start daemons with 1024, which a thousand clients exhaust; Go's runtime does the same.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems state a hard limit that they do not grant.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft
