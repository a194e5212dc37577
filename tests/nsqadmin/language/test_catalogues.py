"""Every text of the pages has a translation, and every translation fits its text."""

import re

import pytest
from tests.nsqadmin.language.translations import ROOT, script

from nsqadmin.language.catalogue import ENGLISH, languages, locale_directory, read_language
from nsqadmin.language.po import CatalogueError
from nsqadmin.pages.frame.render import make_environment

CATALOGUES = sorted(locale_directory().glob("*.po"))
_HOLE = re.compile(r"%\((\w+)\)([sr])|%%")
_TAG = re.compile(r"</?\w+[^>]*>")
_ATTRIBUTE = re.compile(r'\b(?:title|aria-label|placeholder|alt)="([^"]*)"')
# What stands in templates as it is: names, and examples of what is typed.
_NAMES = re.compile(
    r"\b(?:nsqadmin(?: v)?|nsq-trio|NSQ|API|TCP|TLS|Deflate|Snappy|Graphite|GET|orders|"
    r"durability = always|max_depth)\b|&\w+;|&#\d+;|\d+[hm]\b"
)


def test_there_is_chinese_beside_english() -> None:
    assert list(languages()) == [ENGLISH.tag, "zh-Hans"]
    assert languages()["zh-Hans"].name.startswith("中文")


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_every_text_has_a_translation(path) -> None:
    tool = script()
    found = list(tool.faults(path, tool.extracted()))
    hint = (
        "python scripts/translations.py brings new texts into the catalogue; translate them there"
    )
    assert found == [], hint


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_a_translation_has_what_its_text_has(path) -> None:
    for message in script().read(path):
        if not message.id:
            continue
        plural = isinstance(message.id, tuple)
        texts, strings = (
            (message.id, message.string) if plural else ([message.id], [message.string])
        )
        for string in strings:
            for parts in (_HOLE, _TAG):
                wanted = sorted(map(str, parts.findall(texts[-1])))
                assert sorted(map(str, parts.findall(string))) == wanted, string
            # Texts stand in attributes, too.
            assert ('"' in _TAG.sub("", string)) <= ('"' in _TAG.sub("", texts[-1])), string


def test_no_template_shows_a_text_that_cannot_be_translated() -> None:
    environment = make_environment()
    found = []
    for path in sorted((ROOT / "web/templates").glob("*.html")):
        inside = False
        text = ""
        for _line, kind, value in environment.lex(path.read_text()):
            if kind == "name" and value in ("trans", "endtrans"):
                inside = value == "trans"
            elif kind == "data" and not inside:
                text += value
            elif kind in ("variable_begin", "block_begin"):
                text += "\0"
        text = re.sub(r"<code>.*?</code>|<!--.*?-->", "", text, flags=re.DOTALL)
        shown = [*_ATTRIBUTE.findall(text), *re.split(r"<[^<>]*>", text)]
        found += [
            f"{path.name}: {' '.join(each.split())}"
            for each in shown
            if re.search(r"[A-Za-z]{2}", _NAMES.sub("", each))
        ]
    assert found == [], 'put it into {{ _("…") }} or {% trans %}'


def test_what_is_no_catalogue_is_no_language(tmp_path) -> None:
    (tmp_path / "de.po").write_text("no catalogue at all")
    with pytest.raises(CatalogueError):
        read_language(tmp_path / "de.po")
