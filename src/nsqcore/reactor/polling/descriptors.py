"""What the system says of descriptors: how many there may be, and what waits in a socket."""

import contextlib
import fcntl
import resource
import struct
import termios


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


def unacknowledged(fd: int) -> int:
    """Bytes that were sent on the socket ``fd`` and that its peer has no room for yet.

    0 where the system does not tell.
    """
    try:
        answer = fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
