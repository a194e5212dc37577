"""Which form of a module is imported: what was compiled of it, or its source.

Python itself prefers what was compiled. That is right only if it was made of the source that is
here now, all of it, for compiled modules know each other's insides. Otherwise, and where the
environment says ``NSQ_PURE=1``, the sources of all packages are used.
"""

import os
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from itertools import groupby
from pathlib import Path
from types import ModuleType

STALE = "the compiled modules are not of this source and not used: install again"

# What was compiled, a module a line with the CRC-32 of its source; made by setup.py.
LIST = Path(__file__).parents[1] / "compiled.txt"

#: What an operator should know of the choice; empty if nothing.
note = ""
#: The packages whose modules run in compiled form.
compiled: set[str] = set()


class SourceFinder:
    """Finds the sources of modules that were compiled, by name.

    A finder as in ``sys.meta_path``: their base class would be loaded for nothing, with much else.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The source of ``fullname``."""
        file = self._files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file)


def read_list() -> dict[str, int]:
    """Name and CRC-32 of the source of each module that was compiled."""
    try:
        lines = LIST.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {name: int(number) for name, number in map(str.split, lines)}


def is_stale(files: Mapping[str, Path], sources: Mapping[str, int]) -> bool:
    """Whether a file is another than the one of ``sources`` (name to CRC-32).

    Where only byte code is installed there is nothing to compare with, and nothing to change.
    """
    for name, file in files.items():
        for source in (file.with_suffix(".pyx"), file):
            if source.exists():
                if zlib.crc32(source.read_bytes()) != sources[name]:
                    return True
                break
    return False


def source_files(names: Iterable[str]) -> dict[str, Path]:
    """The file of the source of each module in ``names`` whose package is installed."""
    found = {}
    for package, modules in groupby(sorted(names), lambda name: name.partition(".")[0]):
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            above = Path(spec.submodule_search_locations[0]).parent
            for name in modules:
                found[name] = above.joinpath(*name.split(".")).with_suffix(".py")
    return found


def choose_form() -> None:
    """Have what was compiled found in the right form, all of it in the same.

    A class in one form must not have a base in the other. To be called before any is imported.
    """
    global note
    sources = read_list()
    files = source_files(sources)
    if not files:
        return
    pure = os.environ.get("NSQ_PURE", "") not in ("", "0")
    if not pure and is_stale(files, sources):
        note = STALE
    if pure or note:
        sys.meta_path.insert(0, SourceFinder(files))
    else:
        compiled.update(name.partition(".")[0] for name in files)


def is_compiled(package: str = "nsqcore") -> bool:
    """Whether what every message passes in ``package`` runs in compiled form."""
    return package in compiled
