"""Real daemons, and programs written with other clients."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import pytest
from tests.e2e.daemons import PATIENCE

Peer = Callable[..., Callable[[], list[bytes]]]

# Clients that had no release for years, by the modules that the programs need: nsq-py has the same
# package name as pynsq, so they are in a folder of their own.
ELSEWHERE = {"asyncnsq": "asyncnsq", "nsqpy": "nsq.reader"}
REQUIREMENTS = ("asyncnsq==1.2.1", "nsq-py==0.1.12")
# What they import that is not here anyway: to have pip find that out takes six times as long.
NEEDED = ("charset-normalizer", "decorator", "requests", "statsd", "urllib3")


@pytest.fixture(scope="session")
def elsewhere(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, str]]:
    """The environment in which a client of `ELSEWHERE` can be imported; installs it where it is
    not, and skips the test where that is not to be had."""
    assert request.config.cache is not None
    cached = request.config.cache.mkdir("clients")
    folder = cached / f"{sys.implementation.cache_tag}-{'-'.join(REQUIREMENTS)}"
    if not folder.exists():
        made = tmp_path_factory.mktemp("clients")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(made)]
        pip += ["--no-deps", "--no-build-isolation", "--no-compile", *REQUIREMENTS, *NEEDED]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{', '.join(REQUIREMENTS)} cannot be installed here: {done.stderr[-300:]}")
        if not folder.exists():  # else another process was faster
            shutil.move(made, folder)
    variables = {**os.environ, "PYTHONPATH": str(folder)}

    @cache
    def environment(client: str) -> dict[str, str]:
        command = [sys.executable, "-c", f"import {ELSEWHERE[client]}"]
        tried = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"{client} does not run on this Python: {tried.stderr[-300:]}")
        return variables

    return environment


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """Starts ``<client>_peer.py``; what it gives waits for the end and returns the lines."""
    running: list[subprocess.Popen[bytes]] = []

    def start(
        client: str, *arguments: str, feed: list[bytes] | None = None
    ) -> Callable[[], list[bytes]]:
        program = Path(__file__).with_name(f"{client}_peer.py")
        environment = request.getfixturevalue("elsewhere")(client) if client in ELSEWHERE else None
        process = subprocess.Popen(
            [sys.executable, str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        running.append(process)

        def result() -> list[bytes]:
            text = b"".join(line + b"\n" for line in feed or ())
            out, err = process.communicate(text, PATIENCE * 3)
            assert process.returncode == 0, err.decode(errors="replace")[-3000:]
            return out.splitlines()

        return result

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def pynsq(peer: Peer) -> Peer:
    """Starts a program written with pynsq."""
    return partial(peer, "pynsq")
