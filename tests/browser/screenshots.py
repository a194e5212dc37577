"""Pictures of every page, light and dark, for the documentation: ``python -m
tests.browser.screenshots``.

Starts a cluster with traffic, lets it run until the charts have something to show, and writes
``docs/screenshots/*.png``. Takes some minutes.
"""

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


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 240.0)
