"""Pipes to and from other processes, and what it means to this one that they end."""

import os
import signal
import threading
from typing import NoReturn


def stop_at_end_of_input() -> None:
    """Have this process stop, as with SIGTERM, when its standard input ends.

    For a process that must not outlive its parent: the parent holds the other end of the pipe and
    never writes to it. However the parent ends, the pipe ends with it. Unlike a signal at the
    parent's death this works on every Unix, and whichever thread of the parent started the process.
    """
    threading.Thread(target=_wait_for_end_of_input, daemon=True).start()


def _wait_for_end_of_input() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def end_by_broken_pipe() -> NoReturn:
    """End as every program does whose reader went away, by SIGPIPE, so that a shell knows."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    raise BrokenPipeError  # not reached: the signal has ended the process
