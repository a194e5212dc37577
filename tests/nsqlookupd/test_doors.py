"""Who is let in: every endpoint of nsqlookupd with every credential."""

import pytest
from tests.support.doors import (
    ADMIN,
    ALL_TOPICS,
    NO_TOPIC,
    ONE_TOPIC,
    OPEN,
    OPERATE,
    READ,
    Expected,
    check_endpoint,
    make_guard,
)

from nsqlookupd.context import Lookupd
from nsqlookupd.http import build_outside_router, build_router
from nsqlookupd.registry import Registry

OPERATED = Expected(OPERATE, ONE_TOPIC)
INSIDE = Expected(ADMIN, ALL_TOPICS)
EXPECTED = {
    "GET /ping": Expected(OPEN),
    "GET /livez": Expected(OPEN),
    "GET /readyz": Expected(OPEN),
    "GET /info": Expected(READ, NO_TOPIC),
    "GET /topics": Expected(READ, ALL_TOPICS),
    "GET /channels": Expected(READ, ONE_TOPIC),
    "GET /lookup": Expected(READ, ONE_TOPIC),
    "GET /nodes": Expected(READ, ALL_TOPICS),
    "GET /metrics": Expected(READ, ALL_TOPICS),
    "GET /debug": INSIDE,
    "POST /topic/create": OPERATED,
    "POST /topic/delete": OPERATED,
    "POST /topic/tombstone": OPERATED,
    "POST /channel/create": OPERATED,
    "POST /channel/delete": OPERATED,
    "GET /debug/pprof": INSIDE,
    "POST /debug/pprof/symbol": INSIDE,
    **{
        f"GET /debug/pprof/{name}": INSIDE
        for name in ("cmdline", "symbol", "profile", "heap", "goroutine", "block", "threadcreate")
    },
}


@pytest.fixture
def router(tmp_path):
    """The whole API, behind a guard."""
    lookupd = Lookupd(Registry(10**9, 10**9, 0), lambda: 0, lambda: 10**18)
    return build_router(lookupd, make_guard(tmp_path))


async def test_every_endpoint_says_what_it_needs(router):
    routes = {f"{method} {path}": route for method, path, route in router.routes()}
    assert [name for name, route in routes.items() if route.rule is None] == []
    # a new endpoint has its line above, where somebody has thought about it
    assert routes.keys() == EXPECTED.keys()


async def test_what_those_outside_are_answered_needs_the_same(router, tmp_path):
    known = {f"{method} {path}": route.rule for method, path, route in router.routes()}
    lookupd = Lookupd(Registry(10**9, 10**9, 0), lambda: 0, lambda: 10**18)
    for method, path, route in build_outside_router(lookupd, make_guard(tmp_path)).routes():
        assert route.rule is known[f"{method} {path}"], path


@pytest.mark.parametrize("endpoint", EXPECTED)
async def test_only_who_may_is_let_in(router, endpoint):
    method, path = endpoint.split()
    check_endpoint(router, method, path, EXPECTED[endpoint])
