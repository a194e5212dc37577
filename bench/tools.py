"""Runs the load generator (and wrk, where it is installed) as processes of their own.

A tool's CPU and interpreter are never the server's, and two tools can run at once.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import define

from bench.processes import Broken

ROOT = Path(__file__).resolve().parent.parent
TOOL_LIMIT = 120.0  # seconds any one tool may take
WRK_UNIT = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@define(eq=False)
class Tool:
    """A load generator at work."""

    name: str
    process: subprocess.Popen[str]

    def ready(self) -> dict[str, Any]:
        """What it said when everything was set up; blocks until then."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("READY "):
            raise Broken(f"{self.name}: {line.strip()}")
        return dict(json.loads(line.removeprefix("READY ")))

    def stop(self) -> None:
        """Ask it to finish early."""
        self.process.terminate()

    def result(self) -> dict[str, Any]:
        """Its numbers; blocks until it is done."""
        try:
            output, _ = self.process.communicate(timeout=TOOL_LIMIT)
        except subprocess.TimeoutExpired as error:
            raise Broken(f"{self.name}: still running after {TOOL_LIMIT:.0f} s") from error
        lines = output.strip().splitlines()
        if not lines:
            raise Broken(f"{self.name}: no result (exit {self.process.returncode})")
        numbers = dict(json.loads(lines[-1]))
        if "error" in numbers:
            raise Broken(f"{self.name}: {numbers['error']}")
        return numbers


@contextlib.contextmanager
def start(mode: str, **flags: object) -> Iterator[Tool]:
    """A load generator in ``mode``; killed at the end of the block if it still runs."""
    command = [sys.executable, "-m", "bench.loadgen", mode]
    for name, value in flags.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        command.append(f"--{name.replace('_', '-')}={text}")
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield Tool(mode, process)
    finally:
        process.kill()
        process.communicate()


def load(mode: str, **flags: object) -> dict[str, Any]:
    """The result of a load generator in ``mode``."""
    with start(mode, **flags) as tool:
        return tool.result()


def browse(
    server: str, path: str, *, size: int = 0, lines: int = 1, variants: int = 1
) -> dict[str, Any]:
    """One second of HTTP requests over 16 keep-alive connections: by wrk, or by our own tool."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return load("web", server=server, path=path, size=size, lines=lines, variants=variants)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(wrk_script(path, size, lines, variants))
        script.flush()
        output = subprocess.run(
            [wrk, "-t1", "-c16", "-d1s", "--latency", "-s", script.name, f"http://{server}/"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return wrk_numbers(output)


def wrk_script(path: str, size: int, lines: int, variants: int) -> str:
    """The request, in wrk's language."""
    method = "POST" if size else "GET"
    body = "\\n".join(["x" * size] * lines)
    target = '"' + path.replace("{n}", '" .. n .. "') + '"'
    return (
        f"local n = 0\nlocal body = '{body}'\n"
        f"request = function()\n  n = (n + 7) % {variants}\n"
        f"  return wrk.format('{method}', {target}, nil, body)\nend\n"
    )


def wrk_numbers(output: str) -> dict[str, Any]:
    """Count, rate and percentiles (ms) out of wrk's report."""
    counted = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    if not counted or not rate or "Non-2xx" in output or "Socket errors" in output:
        raise Broken(f"wrk: {output[-300:]}")
    numbers: dict[str, Any] = {"count": int(counted[1]), "rate": float(rate[1])}
    for name, value, unit in re.findall(r"\s(50|99)%\s+([0-9.]+)(us|ms|s)", output):
        numbers[f"p{name}"] = float(value) * WRK_UNIT[unit]
    return numbers
