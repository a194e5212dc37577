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

from nsqadmin.language import po
from nsqcore.classes import field, frozen

# The context (`msgctxt`) of texts that scripts show: pages carry them, as scripts read no files.
SCRIPTS = "script"
# The line of a catalogue's header with what its speakers call the language.
NAME = "X-Language-Name"


@frozen(eq=False)
class Language:
    """What the pages may speak. ``tag`` is that of BCP 47, ``name`` what its speakers call it."""

    tag: str
    name: str
    texts: NullTranslations = field(factory=NullTranslations)
    scripts: Mapping[str, str] = field(factory=dict)  # by the English text


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
        CatalogueError: the file is no catalogue.
    """
    found = po.read(path.read_text(encoding="utf-8"))
    translations = GNUTranslations(BytesIO(po.compiled(found)))
    mark = SCRIPTS + po.CONTEXT
    scripts = {key.removeprefix(mark): said for key, said in found.items() if key.startswith(mark)}
    tag = path.stem.replace("_", "-")
    name = translations.info().get(NAME.lower(), tag)
    return Language(tag, name, translations, scripts)
