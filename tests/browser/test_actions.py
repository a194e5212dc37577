"""Every action, from the button to the daemon."""

from collections.abc import Callable

import pytest
from tests.browser.eyes import Eyes
from tests.browser.stage import Stage
from tests.e2e.daemons import Daemon, wait_until


@pytest.fixture
def topic(stage: Stage, request: pytest.FixtureRequest) -> str:
    """A topic of the test's own on both nodes, with a channel."""
    name = f"act.{abs(hash(request.node.name)) % 10**8}"
    for nsqd in stage.nsqds:
        nsqd.create(name, "chan")
        nsqd.post(f"/mpub?topic={name}", b"1\n2\n3")
    wait_until(lambda: on_all(stage, lambda nsqd: nsqd.channel(name, "chan")["depth"] == 3))
    for lookupd in stage.lookupds:
        wait_until(lambda d=lookupd: len(d.get("/debug").get(f"channel:{name}:chan", ())) == 2)  # type: ignore[misc]
    return name


def has(daemon: Daemon, topic: str) -> bool:
    return topic in daemon.get("/topics")["topics"]


def topic_of(nsqd: Daemon, name: str) -> dict[str, object]:
    found = nsqd.get(f"/stats?format=json&topic={name}")["topics"] or [{}]
    return dict(found[0])


def on_all(stage: Stage, condition: Callable[[Daemon], bool]) -> bool:
    return all(condition(nsqd) for nsqd in stage.nsqds)


def test_a_topic_is_paused_and_unpaused(eyes: Eyes, stage: Stage, topic: str) -> None:
    eyes.open_live(f"/topics/{topic}")
    eyes.click(f"a[href='/action/pause?topic={topic}']")
    eyes.confirm()
    eyes.see("paused", "h1")
    assert on_all(stage, lambda nsqd: topic_of(nsqd, topic)["paused"] is True)
    eyes.click(f"a[href='/action/unpause?topic={topic}']")
    eyes.confirm()
    eyes.until(lambda: "paused" not in eyes.text("h1"), "it is unpaused")
    assert on_all(stage, lambda nsqd: topic_of(nsqd, topic)["paused"] is False)


def test_a_channel_is_paused_on_one_node_only(eyes: Eyes, stage: Stage, topic: str) -> None:
    eyes.open_live(f"/topics/{topic}/chan")
    eyes.click(f"a[href*='action/pause'][href*='{stage.nsqds[1].http_port}']")
    eyes.confirm()
    eyes.see("paused", "tbody")
    states = [nsqd.channel(topic, "chan")["paused"] for nsqd in stage.nsqds]
    assert states == [False, True]


def test_a_channel_is_emptied(eyes: Eyes, stage: Stage, topic: str) -> None:
    eyes.open_live(f"/topics/{topic}/chan")
    eyes.click(f"a[href='/action/empty?topic={topic}&channel=chan']")
    eyes.confirm()
    eyes.until(lambda: "\n0\n" in eyes.text(".summary"), "the depth is 0")
    assert on_all(stage, lambda nsqd: nsqd.channel(topic, "chan")["depth"] == 0)


def test_cancelling_does_nothing(eyes: Eyes, stage: Stage, topic: str) -> None:
    eyes.open_live(f"/topics/{topic}/chan")
    eyes.click(f"a[href='/action/empty?topic={topic}&channel=chan']")
    eyes.until(lambda: eyes.css("dialog[open]"), "a dialog asks")
    eyes.click("dialog [data-cancel]")
    eyes.until(lambda: not eyes.css("dialog"), "the dialog is gone")
    assert on_all(stage, lambda nsqd: nsqd.channel(topic, "chan")["depth"] == 3)


def test_a_channel_is_deleted_when_its_name_is_typed(eyes: Eyes, stage: Stage, topic: str) -> None:
    eyes.open_live(f"/topics/{topic}/chan")
    eyes.click(f"a[href='/action/delete?topic={topic}&channel=chan']")
    eyes.until(lambda: eyes.css("dialog[open]"), "a dialog asks")
    button = eyes.find("dialog button[type=submit]")
    assert not button.is_enabled()
    eyes.confirm("chan")
    eyes.see("No channels exist for this topic.")
    assert on_all(stage, lambda nsqd: not nsqd.channel(topic, "chan"))


def test_a_topic_is_deleted(eyes: Eyes, stage: Stage, topic: str) -> None:
    eyes.open_live(f"/topics/{topic}")
    eyes.click(f"a[href='/action/delete?topic={topic}']")
    eyes.confirm(topic)
    eyes.until(
        lambda: eyes.driver.current_url.rstrip("/") == eyes.url, "the list of topics is there"
    )
    assert topic not in eyes.text()
    assert on_all(stage, lambda nsqd: not topic_of(nsqd, topic))
    assert not any(has(lookupd, topic) for lookupd in stage.lookupds)


def test_a_node_is_removed_from_a_topic(eyes: Eyes, stage: Stage, topic: str) -> None:
    eyes.open_live(f"/topics/{topic}")
    eyes.click(f"a[href*='action/tombstone'][href*='{stage.nsqds[0].http_port}']")
    eyes.confirm(topic)
    eyes.see("1 node", ".section:nth-of-type(2) h2")
    assert [bool(topic_of(nsqd, topic)) for nsqd in stage.nsqds] == [False, True]


def test_a_topic_with_a_channel_is_created(eyes: Eyes, stage: Stage) -> None:
    eyes.open_live("/lookup")
    eyes.write("input[name=topic]", "made.here")
    eyes.write("input[name=channel]", "first")
    eyes.click("form.form button")
    eyes.confirm()
    eyes.see("No producers exist for this topic")
    assert all(has(lookupd, "made.here") for lookupd in stage.lookupds)
    eyes.open_live("/lookup")
    eyes.see("made.here")
    eyes.click("a[href='/action/delete?topic=made.here']")
    eyes.confirm("made.here")
    eyes.open("/lookup")
    eyes.until(lambda: "made.here" not in eyes.text(), "it is gone")
    assert not any(has(lookupd, "made.here") for lookupd in stage.lookupds)


def test_an_inactive_channel_is_deleted(eyes: Eyes, stage: Stage) -> None:
    for lookupd in stage.lookupds:
        lookupd.post("/channel/create?topic=left.behind&channel=one")
    eyes.open_live("/lookup")
    eyes.see("left.behind")
    eyes.click("a[href='/action/delete?topic=left.behind&channel=one']")
    eyes.confirm("one")
    eyes.until(
        lambda: all(d.get("/channels?topic=left.behind")["channels"] == [] for d in stage.lookupds),
        "the nsqlookupds forget the channel",
    )


def test_a_policy_is_set_shown_with_what_it_comes_to_and_deleted(eyes: Eyes, stage: Stage) -> None:
    eyes.open("/policies")
    for field, text in (
        ("name", "keep"),
        ("pattern", "kept.*"),
        ("definition", "durability = always\nmax_depth = 1000"),
    ):
        eyes.write(f"#set [name={field}]", text)
    eyes.click("#set button")
    eyes.see("kept.*", "tbody")
    assert on_all(stage, lambda nsqd: names_of_policies(nsqd) == ["keep"])
    eyes.write("input[name=topic]", "kept.orders")
    eyes.click("form[method=get] button")
    eyes.see("always", "#effective")
    eyes.click("a[href='/policies/delete?name=keep']")
    eyes.until(lambda: eyes.css("dialog[open]"), "a dialog asks")
    assert not eyes.find("dialog button[type=submit]").is_enabled()
    eyes.confirm("keep")
    eyes.see("No nsqd has a policy")
    assert on_all(stage, lambda nsqd: names_of_policies(nsqd) == [])


def names_of_policies(nsqd: Daemon) -> list[str]:
    return [policy["name"] for policy in nsqd.get("/policy/list")["policies"]]
