"""Brings the texts of nsqadmin's pages into its catalogues, web/locale/*.po.

    python scripts/translations.py          writes all catalogues, and says what is to be translated
    python scripts/translations.py de       begins one more; languages as CLDR has them (pt_BR)
    python scripts/translations.py --check  writes nothing

What is translated is found where it stands: `_`, `N_`, `ngettext` and `N2_` in Python, `_` and
`trans` in templates, `gettext` in scripts.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from nsqadmin.language.catalogue import NAME, SCRIPTS

ROOT = Path(__file__).parents[1]
LOCALES = ROOT / "web/locale"
WORDS = {"_": None, "gettext": None, "N_": None, "ngettext": (1, 2), "N2_": (1, 2)}
TEMPLATES = {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}
# Where, how, with which words, in which context.
SOURCES = (
    ("services/nsqadmin/**/*.py", "python", WORDS, {}, None),
    ("web/templates/*.html", babel_extract, WORDS, TEMPLATES, None),
    ("web/static/*.js", "javascript", {"gettext": None}, {}, SCRIPTS),
)
# No dates and no names: a catalogue changes when its texts do.
HEADER = """\
# Texts of nsqadmin's pages; docs/nsqadmin.md tells how they are translated.
msgid ""
msgstr ""
"Language: {locale}\\n"
"{key}: {name}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"

"""
Key = tuple[str, str | tuple[str, ...]]


def extracted() -> Catalog:
    """Every text of the code, without translations."""
    found = Catalog(fuzzy=False)
    for pattern, method, words, options, context in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            place = (path.relative_to(ROOT).as_posix(), 1)
            for _line, text, _comments, _context in extract_from_file(
                method, path, keywords=words, options=options
            ):
                found.add(text, locations=[place], context=context)
    return found


def read(path: Path) -> Catalog:
    """The catalogue at ``path``."""
    with path.open("rb") as file:
        return read_po(file, path.stem, abort_invalid=True)


def keys(catalogue: Catalog, *, translated: bool = False) -> set[Key]:
    """The texts of ``catalogue``, of which only those that have a translation."""
    return {
        (message.context or "", message.id)
        for message in catalogue
        if message.id and (not translated or _is_translated(message.string))
    }


def _is_translated(string: str | tuple[str, ...]) -> bool:
    return all(string) if isinstance(string, tuple) else bool(string)


def faults(path: Path, wanted: Catalog) -> Iterator[str]:
    """What is missing in the catalogue at ``path``, and what nobody shows any more."""
    found = read(path)
    name = path.relative_to(ROOT)
    for _context, text in sorted(keys(wanted) - keys(found, translated=True), key=str):
        yield f"{name}: no translation of {text!r}"
    for _context, text in sorted(keys(found) - keys(wanted), key=str):
        yield f"{name}: no page says {text!r} any more"
    fuzzy = [message.id for message in found if message.id and message.fuzzy]
    yield from (f"{name}: is the translation of {text!r} still true? (fuzzy)" for text in fuzzy)


def write(path: Path, wanted: Catalog) -> None:
    """Write the catalogue at ``path`` anew, with what it has of ``wanted``."""
    catalogue = read(path) if path.exists() else Catalog(path.stem, fuzzy=False)
    catalogue.update(wanted, no_fuzzy_matching=True)
    with path.open("wb") as file:
        header = HEADER.format(
            locale=path.stem, key=NAME, name=own_name(path.stem), plurals=catalogue.plural_forms
        )
        file.write(header.encode())
        write_po(
            file,
            catalogue,
            width=100,
            omit_header=True,
            sort_output=True,
            ignore_obsolete=True,
            include_lineno=False,
        )


def own_name(locale: str) -> str:
    """What the speakers of a language call it."""
    return Locale.parse(locale).get_display_name() or locale


def main(arguments: list[str]) -> int:
    """The exit status."""
    wanted = extracted()
    paths = sorted(LOCALES.glob("*.po"))
    if "--check" not in arguments:
        for path in [*paths, *(LOCALES / f"{name}.po" for name in arguments)]:
            write(path, wanted)
        paths = sorted(LOCALES.glob("*.po"))
    found = [fault for path in paths for fault in faults(path, wanted)]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
