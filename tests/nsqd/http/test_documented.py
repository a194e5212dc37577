"""docs/protocol.md lists every endpoint of nsqd, and none that it does not have."""

from tests.support.protocol_page import column, section

from nsqd.http.api import build_router


def test_endpoints(nsqd):
    routes = {f"{method} {path}" for method, path, _ in build_router(nsqd.api).routes()}
    assert set(column(section("nsqd"), "endpoint")) == routes
