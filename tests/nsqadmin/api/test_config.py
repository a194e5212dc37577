import logging

import pytest


@pytest.fixture(autouse=True)
def same_level():
    """The level of the log is the process's: put it back."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


async def put(s, name, body):
    response = await s.client.put(
        f"/config/{name}", data=body, scope_base={"client": ("127.0.0.1", 5)}
    )
    return response.status_code, await response.get_data(as_text=True)


async def get(s, name, address="127.0.0.1"):
    response = await s.client.get(f"/config/{name}", scope_base={"client": (address, 5)})
    text = await response.get_data(as_text=True)
    return response.status_code, text


async def test_settings_are_told_as_the_original_tells_them(site):
    async with site() as s:
        assert await get(s, "statsd_interval") == (200, "60000000000")
        assert await get(s, "log_level") == (200, "2")
        assert await get(s, "statsd_prefix") == (200, "nsq.%s")
        assert await get(s, "proxy_graphite") == (200, "false")
        assert await get(s, "admin_users") == (200, "[]")
        assert (await get(s, "nonsense")) == (400, '{"message":"INVALID_OPTION"}')


@pytest.mark.slow
async def test_other_nsqlookupds_are_in_force_at_once(site):
    async with site() as s:
        assert (await put(s, "nsqlookupd_http_addresses", b'["127.0.0.1:1"]'))[0] == 200
        await s.json("/api/topics", 502)
        await s.admin.collector.round()
        assert "127.0.0.1:1" in s.admin.collector.snapshot.failures[0]


@pytest.mark.parametrize(
    ("name", "body", "answer"),
    [
        ("nsqlookupd_http_addresses", b"nope", (400, '{"message":"INVALID_VALUE"}')),
        ("nsqlookupd_http_addresses", b"[1]", (400, '{"message":"INVALID_VALUE"}')),
        ("nsqlookupd_http_addresses", b"", (413, '{"message":"INVALID_VALUE"}')),
        ("log_level", b"loud", (400, '{"message":"INVALID_VALUE"}')),
        ("graphite_url", b"x", (400, '{"message":"INVALID_OPTION"}')),
        ("nonsense", b"x", (400, '{"message":"INVALID_OPTION"}')),
    ],
)
async def test_what_cannot_be_set_is_refused(site, name, body, answer):
    async with site() as s:
        assert await put(s, name, body) == answer


async def test_the_log_level_changes(site):
    async with site() as s:
        assert await put(s, "log_level", b"WARN") == (200, "3")
        assert logging.getLogger().level == logging.WARNING


async def test_addresses_outside_the_network_are_refused(site):
    async with site() as s:
        assert await get(s, "log_level", "192.0.2.1") == (403, '{"message":"FORBIDDEN"}')
        assert await get(s, "log_level", "nonsense") == (400, '{"message":"INVALID_REMOTE_ADDR"}')


async def test_passwords_in_addresses_are_not_told(site):
    async with site(
        notification_http_endpoint="http://user:geheim@127.0.0.1:1/?token=geheim",
        graphite_url="http://user:geheim@127.0.0.1:1/",
    ) as s:
        assert await get(s, "notification_http_endpoint") == (
            200,
            "http://***@127.0.0.1:1/?token=***",
        )
        assert await get(s, "graphite_url") == (200, "http://***@127.0.0.1:1/")
