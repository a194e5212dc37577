"""Pages in Chinese, as a browser that asks for it shows them."""

from collections.abc import Iterator

import pytest
from tests.browser.browser import open_browser, set_width
from tests.browser.eyes import Eyes
from tests.browser.stage import AdminProcess, Stage
from tests.browser.test_look import PATHS, real


@pytest.fixture(scope="module")
def chinese(admin: AdminProcess) -> Iterator[Eyes]:
    """A browser of somebody who reads Chinese."""
    with open_browser(languages="zh-CN,zh,en") as driver:
        yield Eyes(driver, admin.url)


@pytest.fixture
def reader(chinese: Eyes) -> Iterator[Eyes]:
    """The same, which has chosen nothing; afterwards its console has to be clean."""
    chinese.driver.delete_all_cookies()
    chinese.reset()
    yield chinese
    assert chinese.complaints() == []


@pytest.mark.parametrize("path", [*PATHS, "/channels", "/messages?topic=orders"])
def test_every_page_is_chinese_and_fits_its_screen(reader: Eyes, stage: Stage, path: str) -> None:
    reader.open(real(path, stage))
    assert reader.run("return document.documentElement.lang") == "zh-Hans"
    assert "主题" in reader.text(".nav")
    for width in (400, 1280):
        set_width(reader.driver, width)
        assert reader.run("return document.documentElement.scrollWidth") <= width


def test_numbers_change_under_chinese_words(reader: Eyes) -> None:
    reader.open_live("/topics/orders")
    assert reader.text("#live") == "实时"
    assert "最近一次查看集群" in reader.find("#live").get_attribute("title")
    before = reader.text(".summary")
    assert "处理中" in before
    reader.until(lambda: reader.text(".summary") != before, "numbers change")
    assert "处理中" in reader.text(".summary")
    assert "In flight" not in reader.text()


def test_the_switch_changes_the_page_one_is_on_and_those_that_follow(reader: Eyes) -> None:
    reader.open_live("/topics/orders?h.sort=-depth")
    reader.click(".languages summary")
    reader.click(".languages button[value=en]")
    reader.see("In flight", ".summary")
    assert reader.driver.current_url.endswith("/topics/orders?h.sort=-depth")
    reader.open_live("/nodes")
    assert reader.run("return document.documentElement.lang") == "en"
    assert reader.text("#live") == "Live"


def test_a_page_stays_as_it_is_where_another_tab_chooses(reader: Eyes) -> None:
    reader.open_live("/topics/orders")
    reader.driver.add_cookie({"name": "nsqadmin_language", "value": "en"})
    # Hidden and shown again it opens another stream.
    reader.run("dispatchEvent(new Event('pagehide')); dispatchEvent(new Event('pageshow'))")
    reader.run("window.updates = 0; document.addEventListener('nsqadmin:update', () => updates++)")
    reader.until(lambda: reader.run("return updates > 1"), "updates come")
    assert "处理中" in reader.text(".summary")


def test_a_dialog_asks_in_chinese(reader: Eyes) -> None:
    reader.open_live("/topics/payments/ledger")
    reader.click("a[data-confirm][href^='/action/empty']")
    reader.see("清空通道", "dialog")
    reader.click("dialog [data-cancel]")
    reader.click("#theme")
    assert reader.find("#theme").get_attribute("title") == "配色：浅色"  # noqa: RUF001
