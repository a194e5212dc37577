"""Commands that tests start, which leave nobody behind."""

import contextlib
import ctypes
import os
import signal
import subprocess

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the calling process get SIGTERM when its parent ends, however it does (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


# The signal that its parent's end sends to a process does not reach what that has started.
_LEADER = 'trap "trap - TERM; kill 0" TERM; "$@" <&0 & wait $!'


def with_all_it_starts(*command: str) -> list[str]:
    """``command``, ended with all that it has started where it leads a group and gets SIGTERM."""
    return ["sh", "-c", _LEADER, "sh", *command]


def end_group(process: subprocess.Popen[str], patience: float = 10.0) -> None:
    """End a process that leads a group of its own, and the group."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
