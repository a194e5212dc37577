"""Numbers that change under one's eyes."""

import http.client
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.browser.eyes import Eyes
from tests.browser.servers import QuietHandler, serving
from tests.browser.stage import AdminProcess, Stage
from tests.e2e.daemons import Daemon


def stay(eyes: Eyes) -> None:
    """Mark this page, to notice if it is loaded again."""
    eyes.run("window.stayed = true")


def test_numbers_change_without_a_reload(eyes: Eyes, stage: Stage) -> None:
    for path in ("/", "/topics/orders", "/topics/orders/billing", "/nodes", "/counter"):
        eyes.open_live(path)
        stay(eyes)
        before = eyes.text()
        eyes.until(lambda before=before: eyes.text() != before, f"{path} changes")  # type: ignore[misc]
        assert eyes.run("return window.stayed") is True


def test_a_change_made_elsewhere_shows(eyes: Eyes, stage: Stage) -> None:
    eyes.open_live("/topics/payments")
    stay(eyes)
    stage.nsqds[0].post("/channel/pause?topic=payments&channel=ledger")
    eyes.see("paused")
    stage.nsqds[0].post("/channel/unpause?topic=payments&channel=ledger")
    eyes.until(lambda: "paused" not in eyes.text(), "it is unpaused")
    assert eyes.run("return window.stayed") is True


def test_a_new_channel_appears(eyes: Eyes, stage: Stage) -> None:
    eyes.open_live("/topics/payments")
    stay(eyes)
    stage.nsqds[0].post("/channel/create?topic=payments&channel=newcomer")
    eyes.see("newcomer")
    stage.nsqds[0].post("/channel/delete?topic=payments&channel=newcomer")
    eyes.until(lambda: "newcomer" not in eyes.text(), "it is gone")
    assert eyes.run("return window.stayed") is True


def test_what_one_types_and_opens_survives_updates(eyes: Eyes, stage: Stage) -> None:
    eyes.open_live("/topics/orders/billing")
    eyes.click("details.delivery summary")
    search = eyes.find("input[name='k.q']")
    search.send_keys("bill")
    before = eyes.text(".summary")
    eyes.until(lambda: eyes.text(".summary") != before, "numbers change")
    assert eyes.run("return document.querySelector('details.delivery').open") is True
    assert eyes.run("return document.activeElement.name") == "k.q"
    assert search.get_attribute("value") == "bill"


def test_what_one_types_and_opens_survives_warnings_that_come_and_go(
    eyes: Eyes, stage: Stage, tmp_path: Path
) -> None:
    shaky = Daemon("nsqlookupd", tmp_path / "shaky")
    try:
        shaky.start()
        admin = stage.admin(f"--lookupd-http-address={shaky.http}")
        there = Eyes(eyes.driver, admin.url)
        there.open_live("/topics/orders/billing")
        there.until(lambda: "answer" not in there.text(), "no warning")
        there.click("details.delivery summary")
        there.write("input[name='k.q']", "bill")
        for warned in (True, False):
            if warned:
                shaky.kill()
            else:
                shaky.start()
            there.until(
                lambda warned=warned: ("1 daemon does not answer" in there.text()) is warned,  # type: ignore[misc]
                "a warning" if warned else "no warning",
            )
            assert there.run("return document.querySelector('details.delivery').open") is True
            assert there.run("return document.activeElement.name") == "k.q"
            assert there.find("input[name='k.q']").get_attribute("value") == "bill"
    finally:
        shaky.clean_up()
    eyes.reset()


def test_charts_tell_the_value_under_a_resting_pointer_as_it_changes(eyes: Eyes) -> None:
    eyes.open_live("/topics/orders")
    eyes.until(lambda: eyes.css("svg.chart-rate polyline"), "a chart is drawn")
    eyes.run(
        "window.told = [];"
        "const chart = () => document.querySelector('svg.chart-rate');"
        "let before = chart().dataset.points;"
        "document.addEventListener('nsqadmin:update', () => {"
        "  if (chart().dataset.points === before) return;"
        "  before = chart().dataset.points;"
        "  told.push([chart().querySelector('.hover text')?.textContent, JSON.parse(before)]);"
        "})"
    )
    eyes.point("svg.chart-rate", from_right=2)  # of the last point
    eyes.until(lambda: "/s" in eyes.text("svg.chart-rate .hover text"), "a value is shown")
    eyes.run("told.length = 0")
    eyes.until(lambda: eyes.run("return told.length > 1"), "the chart is drawn anew")
    for text, points in eyes.run("return told"):
        assert text is not None
        assert float(text.split("/s")[0]) == pytest.approx(points[-1][1], abs=0.06)
    eyes.point("h1")
    eyes.until(lambda: not eyes.css("svg.chart .hover"), "the value is gone with the pointer")


def test_the_topology_lights_up_a_stream(eyes: Eyes, stage: Stage) -> None:
    eyes.open_live("/topology")
    eyes.run("document.querySelector('a.box[href=\"/topics/payments\"]').focus()")
    eyes.until(lambda: eyes.css("svg.topology.focused"), "something is lit")
    lit = {element.get_dom_attribute("href") for element in eyes.css("a.box.lit")}
    assert any(href and href.endswith("/topics/payments/ledger") for href in lit)
    assert not any(href and href.endswith("/topics/orders") for href in lit)


@pytest.fixture
def counted(stage: Stage) -> Iterator[tuple[str, list[str]]]:
    """An address that passes on what it is asked to an nsqd, and the paths it was asked for."""
    asked: list[str] = []

    class Relay(QuietHandler):
        def do_GET(self) -> None:
            asked.append(self.path.partition("?")[0])
            connection = http.client.HTTPConnection("127.0.0.1", stage.nsqds[0].http_port)
            connection.request("GET", self.path)
            data = connection.getresponse().read()
            connection.close()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with serving(Relay) as address:
        yield address, asked


def test_many_windows_cost_the_cluster_no_more_than_one(
    eyes: Eyes, stage: Stage, counted: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, asked = counted
    admin = AdminProcess(tmp_path / "admin", [f"--nsqd-http-address={address}"])
    stage.admins.append(admin)
    there = Eyes(eyes.driver, admin.start().url)

    def looks() -> int:
        return int(
            re.findall(rb"nsqadmin_snapshots_total (\d+)", admin.request("GET", "/metrics")[1])[0]
        )

    first = eyes.driver.current_window_handle
    there.open_live("/")
    windows = []
    for path in ("/nodes", "/topics/orders", "/topology", "/counter"):
        eyes.driver.switch_to.new_window("window")
        windows.append(eyes.driver.current_window_handle)
        there.open_live(path)
        assert there.run("return document.hidden") is False
    before, started = looks(), len(asked)
    there.until(lambda: looks() >= before + 4, "the cluster is looked at again")
    questions, since = asked[started:], looks() - before
    assert questions.count("/stats") <= since + 1
    assert questions.count("/info") <= 2
    for window in windows:
        eyes.driver.switch_to.window(window)
        eyes.driver.close()
    eyes.driver.switch_to.window(first)
    admin.stop()
    eyes.reset()


def test_a_lost_server_is_said_and_found_again(eyes: Eyes, stage: Stage) -> None:
    admin = stage.admin()
    there = Eyes(eyes.driver, admin.url)
    there.open_live("/")
    admin.stop()
    there.until(lambda: there.css("#live[data-state=off]"), "the loss is said")
    admin.start()
    there.until(lambda: there.css("#live[data-state=on]"), "it is found again")
    eyes.reset()  # that the server was gone is no complaint here
