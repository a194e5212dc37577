"""The version line, which client libraries match."""

import re
import tomllib
from pathlib import Path

from nsqcore.app.process.version import release, short_version_line, version_line

PATTERN = r"^[a-z]+ v\d+\.\d+\.\d+(-[a-z]+)? \(built w/[a-z0-9.-]+\)"


def test_client_libraries_recognize_the_version_line():
    assert re.match(PATTERN, version_line("nsqd"))
    assert re.fullmatch(r"nsqd v\d+\.\d+\.\d+\S* \(built w/.+\)", version_line("nsqd"))


def test_the_line_tells_whether_the_speed_ups_are_in_use():
    assert version_line("nsqd", speedups=True).endswith(", compiled speed-ups)")
    assert version_line("nsqd", speedups=False).endswith(", pure Python)")


def test_utilities_tell_name_and_version_only():
    assert re.fullmatch(r"nsq_tail v\d+\.\d+\.\d+", short_version_line("nsq_tail"))


def test_the_release_is_the_one_of_pyproject() -> None:
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]
    assert release() == project["version"]
