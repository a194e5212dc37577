"""The first thing a program does: descriptors that are closed, and signals that come early.

`begin` is called before a program imports its parts, which takes a tenth of a second or more:

- A standard descriptor that the parent closed would be given to the first file or socket that is
  opened, and the log would be written there. It gets ``/dev/null`` instead, opened so that reading
  standard input and writing standard output stay errors.
- Signals that the program does not use are ignored.
- The signals in `SIGNALS` are noted from now on, and acted on once the program runs. One that was
  ignored when the program started (``nohup``, a background job) stays ignored.

Imports nothing but the standard library's smallest parts, so that it is early indeed. `start` does
both: it begins, and then imports what it is to run.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from nsqcore.app.process.extras import missing_extra
from nsqcore.late import load

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

# What would end a program that does not know it, and is ignored as in the original. Not by SIG_IGN,
# which programs that are started by this one would inherit.
_UNUSED = ("SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGSTKFLT", "SIGXCPU")
# Those without names, where there are any; each would end the program, too.
_REAL_TIME = [n for n in signal.valid_signals() if n >= getattr(signal, "SIGRTMIN", signal.NSIG)]

_NULL_MODES = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}

_noted: list[int] = []
_handled: list[signal.Signals] = []


def start(program: str, *arguments: object) -> int:
    """The exit status of what ``program`` names for `load`, called with ``arguments``.

    It is imported after `begin`: that takes a while, and signals may come meanwhile. Where the
    extra that it needs is not installed, that is said in a line.
    """
    begin()
    # The command line of httpx, which nobody has here, loads click and rich where they are there.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    try:
        run = load(program)
    except ModuleNotFoundError as error:
        parts = program.split(".")
        print(missing_extra(parts[1 if parts[0] == "nsqtools" else 0], error), file=sys.stderr)
        return 1
    status: int = run(*arguments)
    return status


def begin() -> None:
    """Guard the standard descriptors and note signals; a second call changes nothing."""
    fill_closed_descriptors()
    if threading.current_thread() is not threading.main_thread():
        return  # a program that runs inside another has no say about signals
    for number in SIGNALS:
        if number not in _handled and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _note)
            _handled.append(number)
    ignore_unused_signals()


def ignore_unused_signals(*more: str) -> None:
    """Ignore signals that would end a program which has no use for them; ``more`` by their names.

    Of use where `begin` is not called: by programs that leave Ctrl-C to Python.
    """
    named = [getattr(signal, name, None) for name in (*_UNUSED, *more)]
    for unused in (*named, *_REAL_TIME):
        if unused is not None and signal.getsignal(unused) is signal.SIG_DFL:
            signal.signal(unused, _ignore)


def handled_signals() -> tuple[signal.Signals, ...]:
    """The signals this program acts on; none where it runs in another thread than the main one."""
    if threading.current_thread() is not threading.main_thread():
        return ()
    return tuple(_handled)


@contextlib.contextmanager
def default_signals() -> Iterator[None]:
    """Have signals end the process meanwhile, as Ctrl-C does at a question."""
    handled = handled_signals()
    for number in handled:
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)
    yield
    for number in handled:
        signal.signal(number, _note)


def pop_noted_signals() -> list[int]:
    """The signals that came since `begin`; each is told once."""
    noted = _noted.copy()
    _noted.clear()
    return noted


def ignore_signals_at_exit() -> None:
    """Have a late signal not turn the exit status into "killed".

    Until the interpreter ends they are noted: a process that this one still starts would inherit it
    if they were ignored now, and keep it.
    """
    atexit.register(_ignore_all, handled_signals())


def _ignore_all(signals: tuple[signal.Signals, ...]) -> None:
    for number in signals:
        signal.signal(number, signal.SIG_IGN)


def _ignore(_number: int, _frame: object) -> None:
    """Nothing."""


def _note(number: int, _frame: object) -> None:
    _noted.append(number)


def fill_closed_descriptors() -> None:
    """Open ``/dev/null`` for the standard streams that are closed."""
    for descriptor, mode in _NULL_MODES.items():
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, mode)
            if null != descriptor:  # a lower one is closed in between, by another thread
                os.dup2(null, descriptor)
                os.close(null)
