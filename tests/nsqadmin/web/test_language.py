"""Pages in the language of who reads them."""

import json
import re
from collections.abc import Iterator
from contextlib import aclosing
from html.parser import HTMLParser

import pytest
from tests.nsqadmin.conftest import BROWSER, FORM
from tests.nsqadmin.language.translations import MARKED, write_marked

from nsqadmin.auth.accounts import Role
from nsqadmin.auth.passwords import hash_password
from nsqadmin.auth.principals import Principal
from nsqadmin.language import catalogue
from nsqadmin.language.catalogue import ENGLISH, languages
from nsqadmin.web.events import EventStreams
from nsqadmin.web.pages import Pages

ANN = Principal("ann", Role.ADMIN, "127.0.0.1:5")
CHINESE = {**BROWSER, "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
VERBS = ("pause", "unpause", "empty", "delete", "tombstone", "create")
PLACE = "topic=orders&channel=billing"
PATHS = (
    "/",
    "/?show=paused",
    "/topics?q=nothing",
    "/topics/orders",
    "/topics/none",
    "/topics/a%20b",
    "/topics/orders/billing",
    "/topics/orders/none",
    "/channels",
    "/channels?q=nothing",
    "/nodes",
    "/nodes/none:1",
    "/nodes/NODE",
    "/topology",
    "/topology?q=nothing",
    "/counter",
    "/lookup",
    "/policies",
    "/policies?topic=orders",
    "/policies/delete?name=NAME",
    "/messages?topic=orders",
    *(f"/messages?{PLACE}&state={state}" for state in ("queued", "in_flight", "dead")),
    "/messages/tail?topic=orders",
    f"/messages/act?verb=finish&{PLACE}",
    f"/messages/redrive?{PLACE}",
    f"/messages/redrive?{PLACE}&which=all",
    f"/message?{PLACE}&id=0123456789abcdef",
    *(f"/action/{verb}?{PLACE}" for verb in VERBS),
    "/action/pause?topic=orders&node=NODE",
    "/nowhere",
)
# What is no text of ours: names, numbers with their units, what daemons said, what is typed.
DATA = re.compile(
    r"nsq\w*|NSQ|API|TCP|GET http:.*|trio|English|[Ee]speranto|orders\*?|billing|archive|forgotten|"
    r"old|none|worker-\d|c\d|fake/1|host-\d|durability = always|max_depth|v\d\S*|NAME|http"
)


class Texts(HTMLParser):
    """All that a page shows or says."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag == "code"
        names = ("title", "aria-label", "placeholder", "alt")
        self.found += [value for name, value in attrs if name in names and value]

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag == "code"

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.found.append(data)


@pytest.fixture
def marked(tmp_path, monkeypatch) -> Iterator[None]:
    """A language more, in which every text stands in brackets."""
    write_marked(tmp_path)
    monkeypatch.setattr(catalogue, "locale_directory", lambda: tmp_path)
    languages.cache_clear()
    yield
    languages.cache_clear()


def not_marked(page: str) -> list[str]:
    """The texts of ``page`` that stand outside of all brackets."""
    reader = Texts()
    reader.feed(page)
    # Texts in brackets may hold tags, and others in brackets.
    text, before = "\n".join(reader.found), ""
    while text != before:
        text, before = re.sub(r"⟦[^⟦⟧]*⟧", " ", text), text
    return [line for line in text.split("\n") if re.search("[A-Za-z]{2}", DATA.sub("", line))]


@pytest.mark.slow
async def test_a_language_is_one_file_and_every_page_speaks_it(site, marked):
    headers = {**BROWSER, "Accept-Language": MARKED}
    async with site() as s:
        for path in PATHS:
            there = path.replace("NODE", s.nsqds[0].address)
            response = await s.client.get(there, headers=headers)
            page = await response.get_data(as_text=True)
            assert f'<html lang="{MARKED}"' in page, path
            assert not_marked(page) == [], path


@pytest.mark.parametrize(
    "path", ["/", "/topics/orders", "/topics/orders/billing", "/nodes", "/lookup"]
)
async def test_a_page_is_chinese_for_a_browser_that_is(site, path):
    async with site() as s:
        response = await s.client.get(path, headers=CHINESE)
        page = await response.get_data(as_text=True)
        assert '<html lang="zh-Hans"' in page
        assert "主题" in page
        assert "orders" in page or path == "/lookup"
        assert "Topics" not in page
        assert response.headers["Content-Language"] == "zh-Hans"
        assert {"Accept-Language", "Cookie"} <= set(re.split(", *", response.headers["Vary"]))


async def test_scripts_get_the_same_whatever_their_language(site):
    async with site() as s:
        for path in ("/api/topics", "/api/nodes", "/api/counter", "/api/topics/none/none"):
            answers = [
                await (await s.client.get(path, headers=headers)).get_data()
                for headers in ({}, {"Accept-Language": "zh"})
            ]
            assert answers[0] == answers[1]


async def test_the_switch_is_remembered_and_leads_back(site):
    async with site() as s:
        there = "http://localhost/topics/orders?c.sort=depth"
        response = await s.client.post(
            "/language", headers={**FORM, "Referer": there}, data=b"language=zh-Hans"
        )
        assert response.status_code == 303
        assert response.headers["Location"] == "/topics/orders?c.sort=depth"
        assert "HttpOnly" in response.headers["Set-Cookie"]
        assert '<html lang="zh-Hans"' in await s.page("/")
        response = await s.client.post("/language", headers=FORM, data=b"language=en")
        assert response.headers["Location"] == "/"
        page = await (await s.client.get("/", headers=CHINESE)).get_data(as_text=True)
        assert '<html lang="en"' in page


async def test_the_page_to_log_in_on_speaks_before_anybody_is_known(site, tmp_path, cheap_hashes):

    (tmp_path / "users").write_text(f"ann:admin:{hash_password('secret')}\n")
    async with site(auth_file=str(tmp_path / "users")) as s:
        page = await (await s.client.get("/login", headers=CHINESE)).get_data(as_text=True)
        assert "登录 nsqadmin" in page
        response = await s.client.post("/language", headers=FORM, data=b"language=zh-Hans")
        assert response.status_code == 303
        assert "登录 nsqadmin" in await s.page("/login")


@pytest.mark.parametrize(
    "said",
    ["de", "", "zh_Hans", "../../etc/passwd", "zh-Hans%0d%0aSet-Cookie: a=b", "x" * 4000, "%00"],
)
async def test_a_language_that_is_none_is_not_remembered(site, said):
    async with site() as s:
        body = f"language={said}".encode()
        response = await s.client.post("/language", headers=FORM, data=body)
        assert response.status_code == 303
        assert "Set-Cookie" not in response.headers
        response = await s.client.get(
            "/", headers={**BROWSER, "Cookie": f"nsqadmin_language={said}"}
        )
        assert '<html lang="en"' in await response.get_data(as_text=True)


@pytest.mark.parametrize(
    "header", ["zh;q=x", "\x00", "é", "a" * 6000, "zh-" * 500, ";;;,,,", "q=1", "*;q=0"]
)
async def test_a_header_that_is_none_is_answered(site, header):
    async with site() as s:
        response = await s.client.get("/", headers={**BROWSER, "Accept-Language": header})
        assert response.status_code == 200


@pytest.mark.parametrize(
    "referer",
    [
        "http://elsewhere//evil.example/",
        "http://[",
        "//evil.example",
        "javascript:alert(1)",
        "\\\\x",
    ],
)
async def test_the_switch_leads_to_no_other_site(site, referer):
    async with site() as s:
        response = await s.client.post(
            "/language", headers={**FORM, "Referer": referer}, data=b"language=en"
        )
        assert response.status_code == 303
        assert response.headers["Location"] == "/"


async def test_another_site_cannot_switch(site):
    async with site() as s:
        headers = {**FORM, "Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}
        response = await s.client.post("/language", headers=headers, data=b"language=zh-Hans")
        assert response.status_code == 403
        assert "Set-Cookie" not in response.headers


async def test_two_streams_of_one_page_speak_two_languages(site):
    chinese = languages()["zh-Hans"]
    async with site() as s:
        streams = EventStreams(s.admin, Pages(s.admin))
        told: dict[str, str] = {}
        for language in (ENGLISH, chinese, ENGLISH, chinese):
            stream = streams.events(ANN, "/topics/orders", {}, lambda: True, language=language)
            async with aclosing(stream):
                async for block in stream:
                    if block.startswith("event: page"):
                        page = json.loads(block.split("\ndata: ")[1])["html"]
                        assert told.setdefault(language.tag, page) == page
                        break
        assert "In flight" in told["en"]
        assert "处理中" not in told["en"]
        assert "处理中" in told["zh-Hans"]
        assert "In flight" not in told["zh-Hans"]
        assert len(streams._drawn) == 2


async def test_a_stream_is_asked_for_in_the_language_of_its_page_whatever_was_chosen_since(site):
    async with site() as s:
        headers = {**BROWSER, "Cookie": "nsqadmin_language=en"}
        response = await s.client.get("/?language=zh-Hans", headers=headers)
        assert '<html lang="zh-Hans"' in await response.get_data(as_text=True)


async def test_actions_are_asked_in_chinese_and_done_all_the_same(site):
    async with site() as s:
        response = await s.client.get("/action/delete?topic=orders", headers=CHINESE)
        page = await response.get_data(as_text=True)
        assert "删除主题" in page
        assert "请输入 <b>orders</b> 以确认" in page
        token = re.search(r'name="token" value="([\w-]+)"', page)
        assert token is not None
        headers = {**FORM, "Accept-Language": "zh"}
        body = f"token={token[1]}&topic=orders&typed=wrong".encode()
        response = await s.client.post("/action/delete", headers=headers, data=body)
        assert "请输入 orders 以确认。" in await response.get_data(as_text=True)
        body = f"token={token[1]}&topic=orders&typed=orders".encode()
        response = await s.client.post("/action/delete", headers=headers, data=body)
        assert response.status_code == 303
