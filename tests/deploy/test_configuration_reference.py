"""docs/configuration.md says what the options classes say."""

import importlib.util
from pathlib import Path

import pytest

from nsqcore.app.config.options import settings

SCRIPT = Path(__file__).parents[2] / "scripts/configuration_reference.py"
specification = importlib.util.spec_from_file_location("configuration_reference", SCRIPT)
assert specification is not None
assert specification.loader is not None
script = importlib.util.module_from_spec(specification)
specification.loader.exec_module(script)


def test_the_page_is_up_to_date():
    assert script.PAGE.read_text() == script.reference(), "run: make configuration"


@pytest.mark.parametrize("program", script.PROGRAMS)
def test_every_setting_is_on_it_with_its_variable(program):
    page = script.PAGE.read_text()
    for setting in settings(script.PROGRAMS[program], program):
        assert f"`--{setting.flag}`" in page
        assert setting.deprecated or f"variable `{setting.variables[0]}`" in page
