"""The message browser: from the list to the daemon."""

import json

import pytest
from tests.browser.browser import set_width
from tests.browser.eyes import Eyes
from tests.browser.stage import Stage
from tests.e2e.daemons import wait_until

BODIES = [b'{"order": 17}', b"plain text", b"\x81\xa5order\x12", b"\xff\x00\x01"]


@pytest.fixture
def topic(stage: Stage, request: pytest.FixtureRequest) -> str:
    """A topic on one node, with four messages in a channel."""
    name = f"seen.{abs(hash(request.node.name)) % 10**8}"
    nsqd = stage.nsqds[0]
    nsqd.create(name, "chan")
    for body in BODIES:
        nsqd.post(f"/pub?topic={name}", body)
    wait_until(lambda: nsqd.channel(name, "chan")["depth"] == 4, "they are in the channel")
    for lookupd in stage.lookupds:
        wait_until(
            lambda d=lookupd: len(d.get("/debug").get(f"channel:{name}:chan", ())) == 1,
            "it is registered",
        )
    return name


def choose(eyes: Eyes, *numbers: int) -> None:
    for number in numbers:
        eyes.click("input[name='pick']", number)


def test_messages_are_listed_filtered_and_shown(eyes: Eyes, topic: str) -> None:
    eyes.open_live(f"/topics/{topic}/chan")
    eyes.click(f"a[href='/messages?topic={topic}&channel=chan']")
    eyes.see('{"order": 17}', "tbody")
    assert len(eyes.css("tbody tr")) == 4
    field = eyes.find("input[name='contains']")
    field.send_keys("order")
    field.submit()
    eyes.until(lambda: len(eyes.css("tbody tr")) == 2, "two have it")
    eyes.click("tbody tr a", 1)
    eyes.see("MessagePack")
    assert json.loads(eyes.text(".message-body")) == {"order": 18}
    assert eyes.css("a[href*='download=1']")


def test_chosen_messages_are_finished_after_a_question(
    eyes: Eyes, stage: Stage, topic: str
) -> None:
    eyes.open(f"/messages?topic={topic}&channel=chan")
    choose(eyes, 0, 2)
    eyes.click("button[value='finish']")
    eyes.see("Finish 2 messages?")
    assert stage.nsqds[0].channel(topic, "chan")["depth"] == 4
    eyes.click("form#confirm button[type='submit']")
    eyes.until(lambda: len(eyes.css("tbody tr")) == 2, "two are left")
    assert stage.nsqds[0].channel(topic, "chan")["depth"] == 2


def test_messages_are_copied_and_dead_lettered(eyes: Eyes, stage: Stage, topic: str) -> None:
    eyes.open(f"/messages?topic={topic}&channel=chan")
    choose(eyes, 1)
    eyes.click("button[value='copy']")
    eyes.write("input[name='to']", f"{topic}.copy")
    eyes.click("form#confirm button[type='submit']")
    eyes.until(lambda: len(eyes.css("tbody tr")) == 4, "all are still there")
    found = stage.nsqds[0].get(f"/stats?format=json&topic={topic}.copy")["topics"]
    assert found[0]["depth"] == 1
    choose(eyes, 1)
    eyes.click("button[value='dead']")
    eyes.click("form#confirm button[type='submit']")
    eyes.until(lambda: len(eyes.css("tbody tr")) == 3, "one has left")
    eyes.open(f"/messages?topic={topic}&channel=chan&state=dead")
    eyes.see("plain text", "tbody")
    eyes.click("button[value='all']")
    eyes.see("Redrive all dead letters?")
    eyes.click("form#confirm button[type='submit']")
    eyes.see("1 message sent back, 0 left.")
    assert stage.nsqds[0].channel(topic, "chan")["depth"] == 4


def test_a_live_tail_shows_what_comes_and_changes_nothing(
    eyes: Eyes, stage: Stage, topic: str
) -> None:
    eyes.open(f"/messages/tail?topic={topic}")
    eyes.until(lambda: len(eyes.css("#tail tr")) == 4, "what is queued there")
    stage.nsqds[0].post(f"/pub?topic={topic}", b"<i>hot</i> news")
    eyes.until(lambda: "<i>hot</i> news" in eyes.text("#tail tr"), "the news comes first")
    eyes.click("#tail-pause")
    eyes.see("Paused")
    assert stage.nsqds[0].channel(topic, "chan")["depth"] == 5


def test_a_test_message_is_published(eyes: Eyes, topic: str) -> None:
    eyes.open(f"/messages?topic={topic}&channel=chan")
    eyes.write("textarea[name='body']", "just a test")
    eyes.click("form.publish button")
    eyes.see("Publish a test message?")
    eyes.click("form#confirm button[type='submit']")
    eyes.until(lambda: "just a test" in eyes.text("tbody"), "it is in the channel")


@pytest.mark.parametrize("width", [1280, 400])
def test_the_pages_fit(eyes: Eyes, topic: str, width: int) -> None:
    set_width(eyes.driver, width, 800)
    eyes.open(f"/messages?topic={topic}&channel=chan")
    eyes.see("plain text", "tbody")
    assert eyes.run("return document.documentElement.scrollWidth") <= width
    eyes.click("tbody tr a")
    eyes.see("JSON")
    assert eyes.run("return document.documentElement.scrollWidth") <= width
