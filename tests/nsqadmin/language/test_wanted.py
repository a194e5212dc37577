"""Which language a browser gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.language.wanted import wanted

KNOWN = ("en", "zh-Hans", "pt-BR")


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("zh", "zh-Hans"),
        ("zh-TW", "zh-Hans"),
        ("ZH-hans-CN", "zh-Hans"),
        ("en-GB,zh;q=0.9", "en"),
        ("de,zh;q=0.5,en;q=0.8", "en"),
        ("de, fr;q=0.9", "en"),
        ("pt,en;q=0.1", "pt-BR"),
        ("*", "en"),
        ("de,*,zh;q=0.1", "en"),
        ("zh;q=0", "en"),
        ("zh;q=2", "en"),
        ("zh;q=", "en"),
        ("zh; q=0.5", "zh-Hans"),
        ("zhx", "en"),
        (",;,=;q=1,zh", "zh-Hans"),
        ("de," * 1000 + "zh", "en"),
    ],
)
def test_the_first_that_it_asks_for_and_we_have(header: str, tag: str) -> None:
    assert wanted("", header, KNOWN) == tag


@pytest.mark.parametrize("chosen", ["", "de", "../zh-Hans", "zh_Hans", "zh-Hans\0", "\ud800", "*"])
def test_a_choice_that_is_none_of_ours_counts_for_nothing(chosen: str) -> None:
    assert wanted(chosen, "zh", KNOWN) == "zh-Hans"


def test_what_was_chosen_goes_before_what_the_browser_says() -> None:
    assert wanted("en", "zh", KNOWN) == "en"


@given(st.text(), st.text())
def test_whatever_comes_there_is_a_language(chosen: str, header: str) -> None:
    assert wanted(chosen, header, KNOWN) in KNOWN
