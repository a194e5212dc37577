"""What an installation has, beside what is compiled."""

import tomllib
from pathlib import Path, PurePath

import pytest
from compiling.extensions import MODULES, TREES, compiled_source, source_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", MODULES)
def test_the_source_that_a_compiled_module_is_compared_with_is_installed(name):
    source = compiled_source(ROOT / source_of(name))
    if source.suffix == ".py":
        return  # as every module of Python
    package = name.partition(".")[0]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    inside = PurePath(source.relative_to(ROOT / TREES[package] / package))
    assert any(inside.match(pattern) for pattern in settings["package-data"][package])
