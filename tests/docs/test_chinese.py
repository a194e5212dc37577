"""The Chinese pages say as much as the English ones: the same parts, tables and examples."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def examples(text: str) -> list[str]:
    """The blocks of code, without comments."""
    found = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s*#.*", "", block) for block in found]


def shape(text: str) -> list[str]:
    """The level of each heading, and where tables and examples stand between them."""
    bare = re.sub(r"^ *```.*?^ *```", "EXAMPLE", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^(?:#+(?= )|\|[-|]+\||.*EXAMPLE$)", bare, re.MULTILINE)


def test_the_chinese_guarantees_have_all_that_the_english_have() -> None:
    english, chinese = ((DOCS / name).read_text() for name in ("guarantees.md", "zh/guarantees.md"))
    assert shape(chinese) == shape(english), "translate the change in docs/zh/guarantees.md"
    assert examples(chinese) == examples(english)
    flags = r"--[a-z][a-z-]+|`[/A-Za-z_][\w/=?.]*`"
    missing = set(re.findall(flags, english)) - set(re.findall(flags, chinese))
    assert missing == set(), "translate the change in docs/zh/guarantees.md"


def test_the_chinese_page_of_nsqadmin_has_every_page_of_it() -> None:
    rows = [
        len(re.findall(r"^\| \S", (DOCS / name).read_text(), re.MULTILINE))
        for name in ("nsqadmin.md", "zh/nsqadmin.md")
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_chinese_readers_are_led_to_their_pages(page: str) -> None:
    assert "zh/README.md)" in (DOCS.parent / page).read_text()
