"""`nsqclient.NsqdHttp` has a method for each endpoint that programs ask, and asks no other."""

import inspect

from tests.fakes.fake_http import Asked, fake_server

from nsqclient import NsqdHttp
from nsqd.http.api import build_router

# What people, probes and scrapers ask by other means.
OTHERS = ("/debug/", "/config/", "/metrics", "/livez", "/readyz")
ARGUMENTS = {
    "topic": "t", "channel": "c", "id": "0" * 16, "ids": ["0" * 16], "to": "u", "body": b"x",
    "bodies": [b"x"], "name": "p", "policy": {"pattern": "t"},
}  # fmt: skip


def answer(asked: Asked) -> tuple[int, object]:
    return 200, {"topics": [], "health": "OK"}


async def test_each_endpoint_has_a_method(nsqd):
    routes = {
        f"{method} {path}"
        for method, path, _ in build_router(nsqd.api).routes()
        if not path.startswith(OTHERS) and path != "/"
    }
    async with fake_server(answer) as server, NsqdHttp(server.address) as api:
        for name, method in inspect.getmembers(api, inspect.iscoroutinefunction):
            if name.startswith("_"):
                continue
            needed = [
                parameter.name
                for parameter in inspect.signature(method).parameters.values()
                if parameter.default is parameter.empty
            ]
            await method(**{parameter: ARGUMENTS[parameter] for parameter in needed})
        asked = {f"{one.method} {one.path}" for one in server.asked}
    assert asked - {"GET /ping"} == routes - {"GET /ping"}
