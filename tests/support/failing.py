"""Helper tasks of daemons that fail, in every way in which what they call can."""

import errno
import inspect
import pkgutil
import re
import ssl
from collections.abc import Awaitable, Callable

import pytest
import trio

from nsqcore.app.supervise import supervise
from nsqcore.backoff import Backoff
from nsqcore.http.client import RequestFailed

# What the libraries of the helpers raise: the system, names, TLS, HTTP, JSON, threads, imports.
ERRORS: list[Exception] = [
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENOSPC, "No space left on device"),
    ConnectionResetError("reset"),
    RuntimeError("can't start new thread"),
    ModuleNotFoundError("No module named 'gone'"),
    UnicodeEncodeError("idna", "a..b", 1, 2, "label empty"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    OverflowError("int too large to convert to float"),
    ValueError("no JSON"),
    RecursionError("nested"),
    MemoryError(),
    ssl.SSLError("handshake"),
    RequestFailed("no answer"),
    trio.BrokenResourceError("broken"),
    trio.ClosedResourceError("closed"),
    trio.TooSlowError("late"),
    ExceptionGroup("nursery", [KeyError("a"), ExceptionGroup("inner", [TypeError("b")])]),
]


def supervised(owner: object) -> list[str]:
    """The names of the tasks that ``owner``, a class or a module, has supervised."""
    return sorted(re.findall(r'start_soon\(\s*supervise, "([\w ]+)"', inspect.getsource(owner)))  # type: ignore[arg-type]


def fail_in_every_way(place: str, monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Have the task named ``place`` raise each of `ERRORS`, and then run; what it has raised."""
    failed: list[Exception] = []
    module, _, name = place.rpartition(".")
    owner = pkgutil.resolve_name(module)
    monkeypatch.setattr(owner, name, failing(getattr(owner, name), failed))
    monkeypatch.setitem(supervise.__kwdefaults__, "backoff", Backoff(0.0005, 0.0005))
    return failed


def failing(
    task: Callable[..., Awaitable[None]], failed: list[Exception]
) -> Callable[..., Awaitable[None]]:
    """``task``, once it has raised each of `ERRORS`."""

    async def fail(*args: object, **more: object) -> None:
        await trio.lowlevel.checkpoint()
        if len(failed) < len(ERRORS):
            failed.append(ERRORS[len(failed)])
            raise failed[-1]
        await task(*args, **more)

    return fail


async def all_raised(failed: list[Exception]) -> None:
    """Return once all of `ERRORS` were raised."""
    with trio.fail_after(60):
        while len(failed) < len(ERRORS):  # noqa: ASYNC110 - counts what was raised
            await trio.sleep(0.001)


def restarts(name: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log tells of failures of the task called ``name``."""
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if line.startswith(f"{name}: failed, starting it again")]


def raising(errors: list[Exception]) -> Callable[..., None]:
    """A function that raises each of the errors, and afterwards finds nothing."""

    def fail(*_args: object) -> None:
        if errors:
            raise errors.pop(0)

    return fail
