"""An environment that has only what one extra names: what runs there, what says what to install."""

import importlib.metadata
import os
import re
import subprocess
import tomllib
import venv
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from attrs import frozen
from packaging.requirements import Requirement
from tests.e2e.daemons import PATIENCE, Daemon

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROGRAMS: dict[str, str] = PROJECT["scripts"]

pytestmark = pytest.mark.slow


@cache
def distributions(extra: str) -> frozenset[str]:
    """The distributions that ``pip install nsq-trio[extra]`` would bring, as they are here."""
    wanted = {**PROJECT["optional-dependencies"], "": PROJECT["dependencies"]}
    waiting = [Requirement(line) for line in PROJECT["dependencies"] + wanted[extra]]
    found: set[tuple[str, str]] = set()
    while waiting:
        one = waiting.pop()
        if one.name == PROJECT["name"]:
            waiting += (Requirement(line) for name in one.extras for line in wanted[name])
            continue
        for part in ("", *one.extras):
            if (one.name, part) in found:
                continue
            found.add((one.name, part))
            for line in importlib.metadata.requires(one.name) or ():
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": part}):
                    waiting.append(needed)
    return frozenset(name for name, _ in found)


@frozen
class Environment:
    """A virtual environment made of links."""

    folder: Path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """``python`` with ``command``, in this environment alone."""
        path = os.pathsep.join(str(ROOT / name) for name in ("src", "services"))
        return subprocess.run(
            [self.folder / "bin/python", *command],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )

    def program(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of our programs, as its script in ``bin`` would run it."""
        module, _, function = PROGRAMS[name].partition(":")
        return self.run(
            "-c", f"import sys; from {module} import {function}; sys.exit({function}())", *arguments
        )


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Iterator[Callable[[str], Environment]]:
    """Makes the environment of an extra; that of "" has the client alone."""

    @cache
    def make(extra: str) -> Environment:
        folder = tmp_path_factory.mktemp("environment") / "venv"
        venv.create(folder, symlinks=True, with_pip=False)
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "nsqadmin_web").symlink_to(ROOT / "web")
        for name in distributions(extra):
            files = importlib.metadata.distribution(name).files or ()
            for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
                if not (packages / top).exists():
                    there = importlib.metadata.distribution(name).locate_file(top)
                    (packages / top).symlink_to(Path(str(there)))
        return Environment(folder)

    return make


def test_the_client_alone_publishes_consumes_and_asks_over_http(environment, daemon) -> None:
    lookupd: Daemon = daemon("nsqlookupd")
    nsqd: Daemon = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    script = """
import os, sys
import nsqclient.sync
with nsqclient.sync.open_producer(os.environ["NSQD"]) as producer:
    producer.publish("orders", b"one")
with nsqclient.sync.open_consumer("orders", "c", lookupd=os.environ["LOOKUPD"]) as consumer:
    for message in consumer:
        with message.process():
            print(message.body)
        break
print(sorted({"trio", "re2", "rich", "quart"} & sys.modules.keys()))
"""
    done = environment("").run("-W", "error", "-c", script, NSQD=nsqd.tcp, LOOKUPD=lookupd.http)
    assert done.stderr == ""
    assert done.stdout == "b'one'\n[]\n"


def test_the_client_alone_is_few_packages(environment) -> None:
    assert len(distributions("")) <= 12


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_without_its_extra_says_in_a_line_what_to_install(environment, program) -> None:
    extra = "admin" if program == "nsqadmin" else "server"
    arguments = ["topics", "--nsqd-http-address=127.0.0.1:1"] if program == "nsqctl" else []
    done = environment("").program(program, *arguments)
    assert done.returncode == 1
    assert re.fullmatch(
        rf"{program}: \w+ is not installed: pip install 'nsq-trio\[{extra}\]'\n", done.stderr
    )


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name != "nsqadmin"])
def test_with_the_extra_server_its_programs_start(environment, program) -> None:
    done = environment("server").program(program, "--version")
    assert (done.returncode, done.stderr) == (0, "")


def test_nsqadmin_needs_more_than_the_extra_server(environment) -> None:
    done = environment("server").program("nsqadmin", "--nsqd-http-address=127.0.0.1:1")
    assert done.returncode == 1
    assert "pip install 'nsq-trio[admin]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert environment("admin").program("nsqadmin", "--version").returncode == 0
