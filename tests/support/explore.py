"""Looks for what the tests of every day do not find: ``python -m tests.support.explore MINUTES``.

Half of the time is a soak of the daemons (`tests.support.soak`), all of it with a second argument
``soak``, none with ``examples``. In the rest property tests run with new random examples, and the
tests that draw random lives with new seeds, again and again until the time is up or one of them
fails. hypothesis prints the example, and NSQ_TEST_SEED the lives: pin what is found, as an
``@example`` or a seed of its test.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.support import soak

TESTS = Path(__file__).parents[1]

# Tests with lives of their own, from a seed.
LIVES = ("test_chaos.py", "test_power_loss.py", "test_lives.py")


def files() -> list[str]:
    """The modules with property tests or random lives."""
    return [
        str(path)
        for path in sorted(TESTS.rglob("test_*.py"))
        if path.name in LIVES or "from hypothesis import" in path.read_text()
    ]


def main(minutes: float, only: str = "") -> int:
    """The exit status."""
    if only not in ("", "soak", "examples"):
        print(f"explore: {only}: soak or examples", file=sys.stderr)
        return 2
    if only != "examples":
        share = minutes if only == "soak" else minutes / 2
        status = soak.main(share, soak.chosen_seed())
        if status or only == "soak":
            return status
        minutes -= share
    return explore(minutes)


def explore(minutes: float) -> int:
    """Run tests with new examples. The exit status."""
    end, rounds = time.monotonic() + minutes * 60, 0
    chosen = files()
    while time.monotonic() < end:
        seed = random.randrange(10**6)
        rounds += 1
        print(f"explore: round {rounds}, NSQ_TEST_SEED={seed}", flush=True)
        command = [sys.executable, "-m", "pytest", "-p", "tests.support.parallel", "--workers=2"]
        command += ["-x", *chosen]
        command += ["--hypothesis-profile=explore", f"--hypothesis-seed={seed}"]
        process = subprocess.Popen(command, env=os.environ | {"NSQ_TEST_SEED": str(seed)})
        try:
            status = process.wait(max(end - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            break
        if status:
            print(f"explore: round {rounds} failed; pin what it found", file=sys.stderr)
            return status
    print(f"explore: nothing found in {rounds} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *sys.argv[2:3]))
