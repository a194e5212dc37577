"""Links from pages that are not part of the site lead somewhere; `make docs` checks the others."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_relative_links_lead_to_files(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert re.match(r"https?:", target) or (ROOT / target).exists(), target
