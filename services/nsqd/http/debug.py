"""/debug/…: a look into the running process, under the paths of the original.

The contents are Python's; `nsqcore.app.diagnose` says what each one shows, and so does the index
at /debug/pprof/.
"""

import ctypes
import gc
from functools import partial

import trio

from nsqcore.app import diagnose
from nsqcore.app.values import number
from nsqcore.http.request import Request
from nsqcore.http.responses import Response, text
from nsqcore.http.router import Router

PROFILE_SECONDS = 30.0


def add_routes(router: Router) -> None:
    """Add /debug to ``router``."""
    router.add("GET", "/debug/pprof/", index)
    router.add("GET", "/debug/pprof/cmdline", cmdline)
    router.add("GET", "/debug/pprof/symbol", symbol)
    router.add("POST", "/debug/pprof/symbol", symbol)
    router.add("GET", "/debug/pprof/profile", profile)
    router.add("GET", "/debug/pprof/heap", heap)
    router.add("GET", "/debug/pprof/goroutine", tasks)
    router.add("GET", "/debug/pprof/block", threads)
    router.add("GET", "/debug/pprof/threadcreate", threads)
    router.add("PUT", "/debug/setblockrate", set_block_rate)
    router.add("POST", "/debug/freememory", free_memory)


_plain = partial(text, versioned=False)


def index(_request: Request) -> Response:
    """GET /debug/pprof/: what there is, in words."""
    return _plain(diagnose.INDEX)


def cmdline(_request: Request) -> Response:
    """GET /debug/pprof/cmdline."""
    return _plain(diagnose.cmdline())


def symbol(_request: Request) -> Response:
    """GET, POST /debug/pprof/symbol."""
    return _plain(diagnose.symbol())


async def profile(request: Request) -> Response:
    """GET /debug/pprof/profile: where the time goes during the next ``seconds=`` (30)."""
    try:
        duration = number(request.arg("seconds") or PROFILE_SECONDS)
    except ValueError as error:
        return _plain(f"invalid seconds: {error}\n", 400)
    try:
        return _plain(await diagnose.profile(duration))
    except RuntimeError as error:
        return _plain(f"{error}\n", 500)


async def heap(_request: Request) -> Response:
    """GET /debug/pprof/heap: objects by type. Counted in a thread: there may be millions."""
    return _plain(await trio.to_thread.run_sync(diagnose.heap))


def tasks(_request: Request) -> Response:
    """GET /debug/pprof/goroutine: every task with its stack."""
    return _plain(diagnose.tasks())


def threads(_request: Request) -> Response:
    """GET /debug/pprof/threadcreate, block: every thread with its stack."""
    return _plain(diagnose.threads())


def set_block_rate(request: Request) -> Response:
    """PUT /debug/setblockrate: checked, and without effect: there is no such profile here."""
    rate = request.arg("rate") or ""
    if not rate.lstrip("+-").isdecimal():
        return _plain(f"invalid block rate : {rate!r} is not a number", 400)
    return _plain("")


async def free_memory(_request: Request) -> Response:
    """POST /debug/freememory: collects garbage, and gives back to the system what is free."""
    await trio.to_thread.run_sync(_free_memory)
    return _plain("")


def _free_memory() -> None:
    gc.collect()
    # only the GNU C library has it; elsewhere the allocator decides
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
