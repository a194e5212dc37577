import gzip

import pytest

from nsqadmin.web.headers import accepts_gzip


async def test_every_answer_carries_the_security_headers(site):
    async with site() as s:
        for path in ("/", "/api/topics", "/static/admin.css", "/nowhere"):
            headers = (await s.client.get(path)).headers
            assert (
                "default-src 'none'; script-src 'self'; style-src 'self'"
                in headers["Content-Security-Policy"]
            )
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "same-origin"


async def test_https_is_remembered_only_where_it_is_used(site):
    async with site() as s:
        assert "Strict-Transport-Security" not in (await s.client.get("/ping")).headers


@pytest.mark.parametrize(
    ("header", "yes"),
    [
        ("", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("*", True),
        ("identity", False),
    ],
)
def test_gzip_is_for_who_asks_for_it(header, yes):
    assert accepts_gzip(header) is yes


async def test_static_files_are_kept_until_they_change(site):
    async with site() as s:
        first = await s.client.get("/static/main.js")
        assert first.headers["Content-Type"] == "text/javascript; charset=utf-8"
        again = await s.client.get(
            "/static/main.js", headers={"If-None-Match": first.headers["ETag"]}
        )
        assert (again.status_code, await again.get_data()) == (304, b"")
        packed = await s.client.get("/static/main.js", headers={"Accept-Encoding": "gzip"})
        assert gzip.decompress(await packed.get_data()) == await first.get_data()


@pytest.mark.parametrize("name", ["nothing.js", "..%2fadmin.css", "%2e%2e", ".hidden"])
async def test_no_other_file_is_served(site, name):
    async with site() as s:
        assert (await s.client.get(f"/static/{name}")).status_code == 404


async def test_a_directory_can_stand_in_for_the_static_files(site, tmp_path):
    (tmp_path / "mine.css").write_text("body {}")
    async with site(dev_static_dir=str(tmp_path)) as s:
        assert await (await s.client.get("/static/mine.css")).get_data() == b"body {}"
        assert (await s.client.get("/static/admin.css")).status_code == 404
