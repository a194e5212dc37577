"""What a person would do with a page, and see on it."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from tests.browser.browser import set_look, set_width
from tests.e2e.daemons import PATIENCE

_CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


def was_replaced(error: WebDriverException) -> bool:
    """Whether an element was found, and replaced before it was used.

    A live page replaces parts of itself, a navigation all of it; where the driver was half way it
    has no name of its own for that.
    """
    unnamed = "does not belong to the document" in (error.msg or "")
    return unnamed or isinstance(error, StaleElementReferenceException)


@attrs.define(eq=False)
class Eyes:
    """A browser at a site."""

    driver: webdriver.Chrome
    url: str

    def reset(self) -> None:
        """An ordinary screen, and nothing heard of what was before."""
        set_width(self.driver, 1440)
        set_look(self.driver, dark=False)
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")

    def open(self, path: str) -> None:
        """Go to a page and wait until it is live."""
        self.driver.get(self.url + path)

    def open_live(self, path: str) -> None:
        """Go to a page and wait until the first live update is there."""
        self.open(path)
        self.until(lambda: self.css("#live[data-state=on]"), "the page is live")

    def css(self, selector: str) -> list[WebElement]:
        """The elements that fit a selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def find(self, selector: str, number: int = 0) -> WebElement:
        """The ``number``th element that fits; the page that has it may be on its way."""
        self.until(lambda: len(self.css(selector)) > number, f"{selector} is there")
        return self.css(selector)[number]

    def write(self, selector: str, text: str) -> None:
        """Write into the first field that fits, once it is there."""
        self.find(selector).send_keys(text)

    def text(self, selector: str = "main") -> str:
        """The text that is seen."""
        while True:
            element = self.driver.find_element(By.CSS_SELECTOR, selector)
            try:
                return element.text
            except WebDriverException as error:
                if not was_replaced(error):
                    raise

    def click(self, selector: str, number: int = 0) -> None:
        """Click the ``number``th element that fits; a live page may exchange it just then."""

        def attempt() -> bool:
            self.find(selector, number).click()
            return True

        self.until(attempt, f"{selector} is clicked")

    def point(self, selector: str, *, from_right: int | None = None) -> None:
        """Rest the pointer on an element: in its middle, or some pixels from its right edge."""

        def attempt() -> bool:
            element = self.driver.find_element(By.CSS_SELECTOR, selector)
            right = 0 if from_right is None else element.rect["width"] // 2 - from_right
            move = ActionChains(self.driver).scroll_to_element(element)
            move.move_to_element_with_offset(element, int(right), 0).perform()
            return True

        self.until(attempt, f"{selector} is pointed at")

    def until(self, condition: Any, what: str) -> None:
        """Wait until something is seen; what a live page does not show just then may come yet."""

        def check(_: webdriver.Chrome) -> object:
            try:
                return condition()
            except NoSuchElementException:
                return False
            except WebDriverException as error:
                if was_replaced(error):
                    return False
                raise

        WebDriverWait(self.driver, PATIENCE, 0.05).until(check, what)

    def see(self, text: str, selector: str = "main") -> None:
        """Wait until a text is seen."""
        self.until(lambda: text in self.text(selector), f"{text!r} is seen")

    def run(self, script: str) -> Any:
        """The value of a script."""
        return self.driver.execute_script(script)  # type: ignore[no-untyped-call]

    def confirm(self, typed: str = "") -> None:
        """Answer the dialog that asks whether an action is meant."""
        self.until(lambda: self.css("dialog[open] form"), "a dialog asks")
        if typed:
            (field,) = self.css("dialog input[name=typed]")
            field.send_keys(typed)
        (button,) = self.css("dialog button[type=submit]")
        button.click()
        self.until(lambda: not self.css("dialog[open]"), "the dialog is gone")

    def complaints(self) -> list[str]:
        """What the console said, and requests to other hosts."""
        heard = [
            f"{entry['level']}: {entry['message']}"
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]
        ours = urlsplit(self.url).netloc
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked = urlsplit(message["params"]["request"]["url"])
                if asked.scheme in ("http", "https", "ws") and asked.netloc != ours:
                    heard.append(f"asked {asked.geturl()}")
        return heard

    def pale(self) -> list[str]:
        """Texts whose contrast is below WCAG AA."""
        return list(self.run(_CONTRAST))
