"""Processes that a supervisor starts: daemons that stop when it asks, and never outlive it.

A child's standard input is a pipe that the supervisor holds open and never writes to; the child
stops as with SIGTERM when it ends, however the supervisor came to its end (`child`).
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

import trio


async def open_child(
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stderr: int | None = None,
) -> trio.Process:
    """Start ``python -m module`` with ``arguments``.

    Args:
        environment: variables beside this process's own.
        stderr: as `subprocess.Popen` takes it.
    """
    return await trio.lowlevel.open_process(
        # -P: what lies in the current directory is not to be imported
        [sys.executable, "-P", "-m", "nsqcore.app.process.child", module, *arguments],
        stdin=subprocess.PIPE,
        stderr=stderr,
        # Ctrl-C reaches a whole group: children are told by the supervisor, in its order
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )


async def stop_child(process: trio.Process, patience: float) -> int | None:
    """Ask a child to stop; its exit status, or None if it was killed after ``patience`` seconds."""
    process.terminate()
    with trio.move_on_after(patience):
        return await process.wait()
    process.kill()
    await process.wait()
    return None


def status_text(status: int) -> str:
    """An exit status, in words."""
    with contextlib.suppress(ValueError):  # signals without a name
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
    return f"status {status}"
