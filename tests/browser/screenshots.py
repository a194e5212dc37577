"""Pictures of every page, light and dark, for the documentation: ``python -m
tests.browser.screenshots``.

Starts a cluster with traffic, lets it run until the charts have something to show, and writes
``docs/screenshots/*.png``. Takes some minutes.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from tests.browser.browser import open_browser, set_look, set_width
from tests.browser.eyes import Eyes
from tests.browser.stage import Stage

TARGET = Path(__file__).parents[2] / "docs" / "screenshots"
WIDTH = 1480
LONGEST = 1300  # pixels; a picture of more says no more


def shoot(driver: webdriver.Chrome, name: str, *, width: int = WIDTH) -> None:
    """Save what is to be seen, in both looks."""
    for look in ("light", "dark"):
        set_look(driver, dark=look == "dark")
        set_width(driver, width, 700)
        height = int(driver.execute_script("return document.documentElement.scrollHeight"))  # type: ignore[no-untyped-call]
        set_width(driver, width, min(max(height, 560), LONGEST))
        driver.save_screenshot(str(TARGET / f"{name}-{look}.png"))


def bury(stage: Stage, topic: str, channel: str) -> None:
    """Declare some messages of a durable topic dead."""
    policy = json.dumps({"pattern": f"{topic}*", "definition": {"durability": "os"}}).encode()
    for nsqd in stage.nsqds:
        nsqd.request("PUT", "/policy/set?name=keep-letters", policy)
        nsqd.create(topic, channel)
        for number in range(3):
            order = {"order": 4711 + number, "customer": "Ada Lund", "total": "249.00"}
            nsqd.post(f"/pub?topic={topic}", json.dumps(order).encode())
        path = f"topic={topic}&channel={channel}"
        found = nsqd.get(f"/message/list?{path}")["messages"]
        ids = "".join(f"&id={message['id']}" for message in found)
        nsqd.post(f"/message/dead?{path}{ids}&reason=no+such+customer")


def shoot_dead_letters(driver: webdriver.Chrome, eyes: Eyes, stage: Stage) -> None:
    """The dead letters of a channel, and the question before they are sent back."""
    bury(stage, "invoices", "post")
    eyes.open("/messages?topic=invoices&channel=post&state=dead")
    shoot(driver, "dead")
    eyes.open("/messages/redrive?topic=invoices.dead&which=all")
    shoot(driver, "redrive")


def main(warm_up: float) -> None:
    """Make all pictures, ``warm_up`` seconds after the cluster has started."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with Stage(Path(tempfile.mkdtemp(prefix="screenshots-"))) as stage:
        stage.populate()
        admin = stage.admin("--idle-interval=1s")
        time.sleep(warm_up)  # noqa: TID251 - charts need time to have a past
        pages = {
            "topics": "/",
            "topic": "/topics/orders",
            "channel": "/topics/orders/billing",
            "channels": "/channels",
            "nodes": "/nodes",
            "node": f"/nodes/{stage.nsqds[0].http}",
            "topology": "/topology",
            "counter": "/counter",
            "lookup": "/lookup",
        }
        with open_browser() as driver:
            eyes = Eyes(driver, admin.url)
            for name, path in pages.items():
                eyes.open_live(path)
                shoot(driver, name)
            policy = b'{"pattern": "orders*", "definition": {"durability": "always"}}'
            for nsqd in stage.nsqds:
                nsqd.request("PUT", "/policy/set?name=keep-orders", policy)
            eyes.open("/policies?topic=orders")
            shoot(driver, "policies")
            eyes.open("/messages?topic=thumbnails&channel=resize")
            shoot(driver, "messages")
            shoot_dead_letters(driver, eyes, stage)
            eyes.open("/messages/tail?topic=thumbnails")
            eyes.until(lambda: eyes.css("#tail tr"), "something is queued there")
            shoot(driver, "tail")
            eyes.open_live("/topics/orders")
            shoot(driver, "phone-topic", width=400)
            set_width(driver, WIDTH)
            eyes.click("a[href='/action/delete?topic=orders']")
            eyes.until(lambda: eyes.css("dialog[open]"), "a dialog asks")
            shoot(driver, "confirm")
            gone = stage.admin("--lookupd-http-address=127.0.0.1:1")
            eyes = Eyes(driver, gone.url)
            eyes.open_live("/nodes")
            shoot(driver, "failure")
        # A font with Chinese signs has to be installed.
        with open_browser(width=1280, height=700, languages="zh-CN,zh") as driver:
            eyes = Eyes(driver, admin.url)
            for name in ("topics", "topology"):
                eyes.open_live(pages[name])
                driver.save_screenshot(str(TARGET / f"{name}-zh.png"))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 240.0)
