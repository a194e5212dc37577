"""/debug/pprof/…: a look into the running process, under the paths of the original.

The contents are Python's; `nsqcore.app.diagnose` says what each one shows, and so does the index.
"""

from functools import partial

from nsqcore.access.roles import ADMIN
from nsqcore.app import diagnose, threads
from nsqcore.app.config.values import number
from nsqcore.http.request import Request
from nsqcore.http.responses import Response, text
from nsqcore.http.router import Router

PROFILE_SECONDS = 30.0

_plain = partial(text, versioned=False)


def add_routes(router: Router, *, index_path: str = "/debug/pprof/") -> None:
    """Add the look inside; whether its index has a slash at the end differs between daemons."""
    router.add("GET", index_path, index, rule=ADMIN)
    router.add("GET", "/debug/pprof/cmdline", cmdline, rule=ADMIN)
    router.add("GET", "/debug/pprof/symbol", symbol, rule=ADMIN)
    router.add("POST", "/debug/pprof/symbol", symbol, rule=ADMIN)
    router.add("GET", "/debug/pprof/profile", profile, rule=ADMIN)
    router.add("GET", "/debug/pprof/heap", heap, rule=ADMIN)
    router.add("GET", "/debug/pprof/goroutine", tasks, rule=ADMIN)
    router.add("GET", "/debug/pprof/block", stacks, rule=ADMIN)
    router.add("GET", "/debug/pprof/threadcreate", stacks, rule=ADMIN)


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
    return _plain(await threads.run_sync(diagnose.heap))


def tasks(_request: Request) -> Response:
    """GET /debug/pprof/goroutine: every task with its stack."""
    return _plain(diagnose.tasks())


def stacks(_request: Request) -> Response:
    """GET /debug/pprof/threadcreate, block: every thread with its stack."""
    return _plain(diagnose.threads())
