"""The languages there are: English, as the texts stand in the code, and catalogues of others.

A catalogue is a file of GNU gettext, ``web/locale/LOCALE.po``, and is read as it is: who adds a
language adds that file and nothing else. ``scripts/translations.py`` writes the texts into it.
"""

from collections.abc import Mapping
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import attrs
from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

# The context (`msgctxt`) of texts that scripts show: pages carry them, as scripts read no files.
SCRIPTS = "script"


@attrs.frozen(eq=False)
class Language:
    """What the pages may speak. ``tag`` is that of BCP 47, ``name`` what its speakers call it."""

    tag: str
    name: str
    texts: NullTranslations = attrs.field(factory=NullTranslations)
    scripts: Mapping[str, str] = attrs.field(factory=dict)  # by the English text


ENGLISH = Language("en", "English")


def locale_directory() -> Path:
    """Where the catalogues are."""
    return Path(str(files("nsqadmin_web"))) / "locale"


@cache
def languages() -> Mapping[str, Language]:
    """Every language by its tag, English first. Read once: they belong to the program."""
    paths = sorted(locale_directory().glob("*.po"))
    return {language.tag: language for language in (ENGLISH, *map(read_language, paths))}


def read_language(path: Path) -> Language:
    """The language of the catalogue at ``path``, whose name is that of the locale.

    Raises:
        UnknownLocaleError: no locale is called so.
        PoFileError: the file is no catalogue.
    """
    locale = Locale.parse(path.stem)
    with path.open("rb") as file:
        catalogue = read_po(file, locale, abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    scripts = {
        str(message.id): str(message.string)
        for message in catalogue
        if message.context == SCRIPTS and message.string
    }
    tag = path.stem.replace("_", "-")
    return Language(tag, locale.get_display_name() or tag, GNUTranslations(compiled), scripts)
