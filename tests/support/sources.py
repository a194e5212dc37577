"""Modules as they are written, whatever was compiled of them."""

import importlib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def source_of(name: str) -> ModuleType:
    """The module ``name`` from its source, for a test of this form, or of its inside."""
    package = importlib.import_module(name.partition(".")[0])
    file = Path(package.__path__[0]).parent.joinpath(*name.split(".")).with_suffix(".py")
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
