"""What helm makes of the chart."""

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "deploy/helm/nsq-trio"


def helm(*words: object, values: str = "") -> "subprocess.CompletedProcess[str]":
    found = shutil.which("helm") or shutil.which("helm", path=sysconfig.get_path("scripts"))
    if found is None:
        pytest.skip("no helm here; scripts/helm.py brings one")
    return subprocess.run(
        [found, *map(str, words)], input=values, capture_output=True, text=True, check=False
    )


def rendered(values: str, release: str = "red") -> list[dict[str, Any]]:
    done = helm("template", release, CHART, "-n", "nsq", "-f", "-", values=values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]
