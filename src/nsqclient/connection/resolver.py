"""Looking up host names without holding anything up.

Each name is looked up in a daemon thread of its own, which can be left: a name
server that does not answer delays neither a cancellation nor the end of the
program. Who asks for a name that is being looked up waits for the same thread.
"""

import socket
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel

from nsqclient.core.loop import running_loop
from nsqcore.classes import Factory, define

Target = tuple[int, Any]
"""An address family and a socket address of it."""


@define(eq=False, repr=False)
class _Lookup:
    """One name being looked up; ``callbacks`` are called from its thread when that is done."""

    callbacks: list[Callable[[], object]] = Factory(list)
    targets: list[Target] = Factory(list)
    error: OSError | None = None


_lock = threading.Lock()
_lookups: dict[tuple[str, int], _Lookup] = {}


async def resolve(host: str, port: int) -> list[Target]:
    """The addresses of ``host``, in the order in which to try them.

    Raises:
        OSError: there are none, or it is no name at all.
    """
    try:
        targets = _ask(host, port, socket.AI_NUMERICHOST)
    except OSError:
        return await _by_thread(host, port)
    await anyio.lowlevel.checkpoint()
    return targets


async def _by_thread(host: str, port: int) -> list[Target]:
    done = anyio.Event()
    call_soon = running_loop().call_soon
    key = (host, port)
    with _lock:
        lookup = _lookups.get(key)
        is_new = lookup is None
        if lookup is None:
            lookup = _lookups[key] = _Lookup()
        lookup.callbacks.append(lambda: call_soon(done.set))
    if is_new:
        try:
            threading.Thread(target=_run, args=(key, lookup), daemon=True).start()
        except RuntimeError as error:  # no more threads can be started
            with _lock:
                del _lookups[key]
            raise OSError(f"cannot look up {host}: {error}") from error
    await done.wait()
    if lookup.error is not None:
        raise OSError(*lookup.error.args) from lookup.error
    return lookup.targets


def _run(key: tuple[str, int], lookup: _Lookup) -> None:
    try:
        lookup.targets = _ask(*key)
    except OSError as error:
        lookup.error = error.with_traceback(None)
    with _lock:
        del _lookups[key]
        callbacks = list(lookup.callbacks)
    for call in callbacks:
        try:
            call()
        except RuntimeError:
            continue  # its event loop has ended


def _ask(host: str, port: int, flags: int = 0) -> list[Target]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:  # an empty label, or one over 63 characters
        raise OSError(f"{host!r} is not a host name: {error}") from error
    except OverflowError as error:
        raise OSError(f"{port} is not a port") from error
    targets = [(int(family), address) for family, _, _, _, address in found]
    return list(dict.fromkeys(targets))
