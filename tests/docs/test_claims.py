"""What README and docs claim of speed, loss and likeness stands where it was measured or tested."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    if page.name != "performance.md"
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_speed_is_told_on_the_page_of_measurements_alone(page):
    text = page.read_text()
    assert not re.search(r"at least as fast|fastest|\btimes (as fast|faster)|µs of CPU", text)
    for line in re.findall(r".*\bfaster\b.*", text):
        start = text.index(line)
        assert "performance.md" in text[max(0, start - 300) : start + 300], line


def test_who_makes_a_container_read_only_is_told_what_it_needs():
    page = (ROOT / "docs" / "deployment-docker.md").read_text()
    assert re.search(r"--read-only` give it a volume at `/data`", page)


def test_differences_that_a_client_sees_are_listed():
    told = (ROOT / "docs" / "upgrading.md").read_text()
    assert "requeue_count" in told
    assert "timeout_count" in told


def test_likeness_is_bounded_by_what_was_run():
    told = (ROOT / "README.md").read_text()
    assert "docs/client-libraries.md" in told
    assert "Every NSQ client" not in told
