"""An nsqadmin over fake daemons, asked without a network."""

import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from quart_trio import QuartTrio
from tests.fakes.fake_cluster import channel, client, running, topic
from tests.fakes.fake_lookupd import FakeLookupd
from tests.fakes.fake_nsqd import FakeNsqd
from werkzeug.routing import Rule

from nsqadmin.app import make_app
from nsqadmin.auth import passwords
from nsqadmin.config.options import NsqadminOptions
from nsqadmin.core import admin as admin_module
from nsqadmin.core.admin import Admin, make_admin

BROWSER = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
FORM = {**BROWSER, "Content-Type": "application/x-www-form-urlencoded"}


@attrs.define(eq=False)
class Site:
    """An nsqadmin, its fake cluster, and a client that asks it."""

    admin: Admin
    app: QuartTrio
    nsqds: list[FakeNsqd]
    lookupd: FakeLookupd
    client: Any

    async def page(self, path: str, **more: Any) -> str:
        """The HTML of a page, as a browser gets it."""
        response = await self.client.get(path, headers=BROWSER, **more)
        text = await response.get_data(as_text=True)
        assert response.status_code == 200, (response.status_code, text)
        return str(text)

    async def json(self, path: str, status: int = 200) -> Any:
        """The JSON that the API answers."""
        response = await self.client.get(path)
        assert response.status_code == status, await response.get_data(as_text=True)
        return await response.get_json()


def token_in(page: str) -> str:
    """The token of the form in a page."""
    found = re.search(r'name="token" value="([\w-]+)"', page)
    assert found is not None
    return found[1]


def two_nsqds() -> list[FakeNsqd]:
    """Two nsqd with a topic, two channels and a client each."""
    return [
        FakeNsqd(
            [
                topic(
                    "orders",
                    [channel("billing", [client(number)], depth=3), channel("archive")],
                    depth=number,
                    message_count=10,
                )
            ],
            hostname=f"host-{number}",
        )
        for number in range(2)
    ]


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed at a cost that a test of something else need not pay."""
    monkeypatch.setattr(passwords, "_METHOD", "scrypt:1024:8:1")


# What werkzeug makes of rules: a function each, which it compiles. Every nsqadmin has the same, and
# to compile them is most of what it takes to make one.
_COMPILE = getattr(Rule, "_compile_builder", None)
_BUILDERS: dict[tuple[object, ...], Any] = {}


def _compile_once(rule: Any, append_unknown: bool = True) -> Any:
    key = (rule.rule, rule.subdomain, rule.host, str(rule.defaults), append_unknown)
    if key not in _BUILDERS:
        assert _COMPILE is not None
        _BUILDERS[key] = _COMPILE(rule, append_unknown)
    return _BUILDERS[key]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes sites: ``async with site(flag=...) as s``."""
    if _COMPILE is not None:
        monkeypatch.setattr(Rule, "_compile_builder", _compile_once)
    # Reading the certificates of the system takes longer than most tests.
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(admin_module, "client_tls", lambda options: plain)

    @asynccontextmanager
    async def make(
        nsqds: list[FakeNsqd] | None = None, *, mode: str = "lookupd", **options: Any
    ) -> AsyncIterator[Site]:
        nsqds = two_nsqds() if nsqds is None else nsqds
        lookupd = FakeLookupd(nsqds, {"forgotten": ["old"]})
        async with running(*nsqds, lookupd):
            if mode == "lookupd":
                options.setdefault("nsqlookupd_http_addresses", (lookupd.address,))
            else:
                options.setdefault("nsqd_http_addresses", tuple(n.address for n in nsqds))
            admin = make_admin(NsqadminOptions(**options))
            app = make_app(admin)
            async with admin.connections():
                await admin.collector.round()
                yield Site(admin, app, nsqds, lookupd, app.test_client())

    return make
