"""What a person would do with a page, and see on it."""

import json
from typing import Any
from urllib.parse import urlsplit

import attrs
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from tests.browser.browser import set_look, set_width

PATIENCE = 20  # seconds; on a busy machine everything here takes far less

# Elements with text of their own whose contrast to what is behind them is below WCAG AA.
_CONTRAST = """
const rgb = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const context = canvas.getContext("2d", { willReadFrequently: true });
const pixel = (colours) => {
  context.globalAlpha = 1;
  context.fillStyle = "white";
  context.fillRect(0, 0, 1, 1);
  for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const light = (values) => {
  const [r, g, b] = values.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) **
  2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  if (!element.checkVisibility() || element.closest("svg") || element.closest(".digit, .sr,
  [disabled]")) continue; if (![...element.childNodes].some((node) => node.nodeType === 3 &&
  node.data.trim())) continue; const style = getComputedStyle(element); const behind = []; for (let
  at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
  const back = pixel(behind), front = pixel([...behind, style.color]); const [a, b] = [light(back),
  light(front)].sort((x, y) => y - x); const ratio = (a + 0.05) / (b + 0.05); const size =
  parseFloat(style.fontSize); const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight)
  >= 700); if (ratio < (large ? 3 : 4.5)) found.push(`${element.tagName}.${element.className}
  "${element.textContent.trim().slice(0, 30)}" ${ratio.toFixed(2)}`);
}
return found;
"""


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

    def text(self, selector: str = "main") -> str:
        """The text that is seen."""
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def click(self, selector: str) -> None:
        """Click the first element that fits; a live page may exchange it just then."""

        def attempt() -> bool:
            try:
                self.driver.find_element(By.CSS_SELECTOR, selector).click()
            except StaleElementReferenceException:
                return False
            return True

        self.until(attempt, f"{selector} is clicked")

    def until(self, condition: Any, what: str) -> None:
        """Wait until something is seen."""

        def check(_: webdriver.Chrome) -> object:
            try:
                return condition()
            except StaleElementReferenceException:
                return False

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
