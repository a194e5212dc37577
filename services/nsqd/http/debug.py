"""/debug/…: the look into the process that every daemon has, and what only nsqd offers."""

from functools import partial

from nsqcore.access.roles import ADMIN
from nsqcore.app import threads
from nsqcore.app.process import garbage
from nsqcore.http.request import Request
from nsqcore.http.responses import Response, text
from nsqcore.http.router import Router
from nsqcore.operations import pprof

_plain = partial(text, versioned=False)


def add_routes(router: Router) -> None:
    """Add /debug to ``router``."""
    pprof.add_routes(router)
    router.add("PUT", "/debug/setblockrate", set_block_rate, rule=ADMIN)
    router.add("POST", "/debug/freememory", free_memory, rule=ADMIN)


def set_block_rate(request: Request) -> Response:
    """PUT /debug/setblockrate: checked, and without effect: there is no such profile here."""
    rate = request.arg("rate") or ""
    if not rate.lstrip("+-").isdecimal():
        return _plain(f"invalid block rate : {rate!r} is not a number", 400)
    return _plain("")


async def free_memory(_request: Request) -> Response:
    """POST /debug/freememory: collects garbage, and gives back to the system what is free."""
    await threads.run_sync(garbage.collect)
    return _plain("")
