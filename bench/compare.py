"""`python -m bench.compare --base REV`: this tree against another revision, in one run.

The revision is checked out beside (a git worktree) and installed into an environment of its own;
then both are measured in turn, slice by slice. Nothing of the working tree is touched.
"""

import argparse
import contextlib
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.result import Side
from bench.run import QUICK_SCALE, add_choices, measure
from bench.tools import ROOT


@contextlib.contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[Path]:
    """The files of ``revision``, for the length of the block."""
    tree = folder / "tree"
    command = ["git", "-C", str(ROOT), "worktree"]
    add = [*command, "add", "--quiet", "--detach", str(tree), revision]
    try:
        done = subprocess.run(add, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        sys.exit("bench.compare: git is needed, to check out the other revision")
    if done.returncode:
        sys.exit(f"bench.compare: {revision} cannot be checked out: {done.stderr.strip()}")
    try:
        yield tree
    finally:
        subprocess.run([*command, "remove", "--force", str(tree)], check=True)


def install(tree: Path, folder: Path) -> Path:
    """The folder of the programs of ``tree``, installed with its own dependencies."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, str(tree)], check=True)
    return python.parent


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.compare", description=__doc__)
    add_choices(parser)
    parser.add_argument("--base", required=True, help="the revision to compare with")
    return parser.parse_args(argv)


def main() -> int:
    """The program."""
    options = arguments()
    here = Path(sysconfig.get_path("scripts"))
    scale = QUICK_SCALE if options.quick else 1.0
    with tempfile.TemporaryDirectory(prefix="nsq-bench-base-") as scratch:
        with checked_out(options.base, Path(scratch)) as tree:
            print(f"installing {options.base} …", file=sys.stderr, flush=True)
            base = install(tree, Path(scratch))
            sides = [Side("here", here, scale), Side(options.base[:12], base, scale)]
            return measure(sides, options)


if __name__ == "__main__":
    sys.exit(main())
