"""Catalogues as people and programs write them are read as gettext's own tools read them."""

from gettext import GNUTranslations
from io import BytesIO

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.language import po

HEADER = 'msgid ""\nmsgstr ""\n"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\x04\r"), min_size=1)


def spoken(source: str) -> GNUTranslations:
    return GNUTranslations(BytesIO(po.compiled(po.read(source))))


def test_texts_contexts_and_numbers() -> None:
    said = spoken(
        HEADER
        + '# of a translator\n#: pages.py:1\nmsgid "a \\"text\\"\\n"\n"of two lines"\n'
        + 'msgstr "ein Text\\n"\n"\\taus \\\\ zwei"\n'
        + '\nmsgctxt "script"\nmsgid "sent"\nmsgstr "gesendet"\n'
        # No empty line between two texts.
        + 'msgid "%(n)s byte"\nmsgid_plural "%(n)s bytes"\nmsgstr[0] "ein"\nmsgstr[1] "viele"\n'
    )
    assert said.gettext('a "text"\nof two lines') == "ein Text\n\taus \\ zwei"
    assert said.pgettext("script", "sent") == "gesendet"
    assert said.gettext("sent") == "sent"
    assert [said.ngettext("%(n)s byte", "%(n)s bytes", n) for n in (1, 2)] == ["ein", "viele"]


def test_what_is_fuzzy_empty_or_obsolete_is_not_said() -> None:
    said = spoken(
        "#, fuzzy\n"  # as a header is that a program has begun
        + HEADER
        + '#, fuzzy, python-format\nmsgid "one"\nmsgstr "eins"\n\nmsgid "two"\nmsgstr ""\n\n'
        + '#~ msgid "three"\n#~ msgstr "drei"\n\nmsgid "four"\nmsgstr "vier"\n'
    )
    texts = ["one", "two", "three", "four"]
    assert [said.gettext(text) for text in texts] == ["one", "two", "three", "vier"]


@pytest.mark.parametrize(
    "source",
    [
        "",
        'msgid "a"\nmsgstr "b"\n',
        HEADER + "words\n",
        HEADER + 'msgid "a\n',
        HEADER + 'msgstr "b"\n',
        HEADER + 'msgctxt "c"\nmsgstr "b"\n',
        HEADER + '\n"b"\n',
        HEADER + 'msgid "a"\n',
    ],
)
def test_what_is_none_is_refused(source: str) -> None:
    with pytest.raises(po.CatalogueError):
        po.read(source)


@given(st.dictionaries(TEXTS, TEXTS, max_size=5), st.integers(10, 80))
def test_what_babel_writes_is_what_is_read(texts: dict[str, str], width: int) -> None:
    catalogue = Catalog("de", fuzzy=False)
    for text, string in texts.items():
        catalogue.add(text, string, context="script")
    file = BytesIO()
    write_po(file, catalogue, width=width)
    said = spoken(file.getvalue().decode())
    assert {text: said.pgettext("script", text) for text in texts} == texts
