"""Standard input, output and error of a program, whatever state the parent left them in.

Parents such as node and ssh leave descriptors non-blocking: reading and writing wait then, as they
would for a descriptor that blocks. A stream that cannot be used gives an error that names it.
"""

import io
import os
import select
import sys
from typing import Any, NoReturn

from nsqcore.classes import frozen


@frozen
class Streams:
    """The descriptors of a program's standard streams; both methods block."""

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of standard input; empty at its end. Raises OSError."""
        while True:
            try:
                return os.read(self.stdin, size)
            except BlockingIOError:
                _wait(self.stdin, select.POLLIN)
            except OSError as error:
                _name(error, "standard input")

    def write(self, data: bytes) -> None:
        """Write all of ``data`` to standard output.

        Raises:
            BrokenPipeError: the reader went away.
            OSError: it cannot be written; part of ``data`` may have been.
        """
        try:
            write_all(self.stdout, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            _name(error, "standard output")


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, and wait where the descriptor has no room; raises OSError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            _wait(descriptor, select.POLLOUT)


def _wait(descriptor: int, event: int) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


def _name(error: OSError, stream: str) -> NoReturn:
    reason = error.strerror or str(error)
    if error.errno == 9:  # EBADF: closed, or opened for the other direction
        reason = "it is closed"
    raise OSError(f"{stream}: {reason}") from error


class PatientOutput(io.RawIOBase):
    """A descriptor as a file whose writes wait where it is non-blocking and has no room."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Write all of ``data``."""
        content = bytes(data)
        write_all(self._descriptor, content)
        return len(content)


def text_output(descriptor: int) -> io.TextIOWrapper:
    """A text file in place of `sys.stdout` or `sys.stderr`; it does not close ``descriptor``."""
    buffered = io.BufferedWriter(PatientOutput(descriptor))
    return io.TextIOWrapper(
        buffered, errors="backslashreplace", line_buffering=os.isatty(descriptor)
    )


def wait_where_output_is_non_blocking() -> None:
    """Have what is printed wait for room where standard output or error is non-blocking."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is not None and not os.get_blocking(descriptor):
            setattr(sys, name, text_output(descriptor))
