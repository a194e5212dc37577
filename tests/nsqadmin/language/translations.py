"""The script that finds the texts of the code, for tests, and a language that marks them all."""

import importlib.util
from io import BytesIO
from pathlib import Path
from types import ModuleType

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from nsqadmin.language.catalogue import NAME

ROOT = Path(__file__).parents[3]
# A locale that CLDR knows; its texts are the English ones in brackets.
MARKED = "eo"


def script() -> ModuleType:
    """``scripts/translations.py``."""
    spec = importlib.util.spec_from_file_location("translations", ROOT / "scripts/translations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_marked(folder: Path) -> None:
    """Write the catalogue of `MARKED`: adding a language is adding this one file."""
    wanted = script().extracted()
    catalogue = Catalog(MARKED, fuzzy=False)
    for message in wanted:
        if message.id:
            many = isinstance(message.id, tuple)
            string = tuple(f"⟦{text}⟧" for text in message.id) if many else f"⟦{message.id}⟧"
            catalogue.add(message.id, string, context=message.context)
    file = BytesIO()
    write_po(file, catalogue)
    header = f'Language: {MARKED}\\n"\n'
    named = file.getvalue().decode().replace(header, f'{header}"{NAME}: esperanto\\n"\n')
    (folder / f"{MARKED}.po").write_text(named)
