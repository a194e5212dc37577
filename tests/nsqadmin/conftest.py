"""An nsqadmin over fake daemons, asked without a network."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from quart_trio import QuartTrio
from tests.fakes.fake_cluster import FakeLookupd, FakeNsqd, channel, client, running, topic

from nsqadmin import admin as admin_module
from nsqadmin.admin import Admin, make_admin
from nsqadmin.app import make_app
from nsqadmin.options import NsqadminOptions

BROWSER = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


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
def site(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes sites: ``async with site(flag=...) as s``."""
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
            async with admin.upstream, admin.web:
                await admin.collector.round()
                yield Site(admin, app, nsqds, lookupd, app.test_client())

    return make
