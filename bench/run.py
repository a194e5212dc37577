"""`python -m bench.run`: measure the programs of one folder, or of two against each other.

Prints the table as it grows; with `--base` also how many times better the first folder is.
"""

import argparse
import fnmatch
import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from bench.measure import interleave
from bench.report import Row, as_json, as_markdown, table
from bench.result import Scenario, Side
from bench.scenarios import ALL

QUICK_SCALE = 0.4


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    add_choices(parser)
    here = Path(sysconfig.get_path("scripts"))
    parser.add_argument("--bin", type=Path, default=here, help="folder of nsqd and nsqlookupd")
    parser.add_argument(
        "--base", type=Path, help="a second folder, measured in turn with the first"
    )
    parser.add_argument("--list", action="store_true", help="the names of the scenarios")
    return parser.parse_args(argv)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Flags about what to measure and how to show it."""
    parser.add_argument("--only", default="", help="names or globs, with commas between")
    parser.add_argument("--quick", action="store_true", help="a selection, smaller")
    parser.add_argument("--rounds", type=int, default=1, help="how often each is measured")
    parser.add_argument("--details", action="store_true", help="also numbers without a better")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")


def chosen(only: str, quick: bool) -> list[Scenario]:
    """The scenarios asked for."""
    patterns = [pattern for pattern in only.split(",") if pattern]
    if patterns:
        wanted = [p if any(c in p for c in "*?[") else f"*{p}*" for p in patterns]
        return [s for s in ALL if any(fnmatch.fnmatch(s.name, p) for p in wanted)]
    return [scenario for scenario in ALL if scenario.quick or not quick]


def version(bin_dir: Path) -> str:
    """What nsqd says it is: pure or compiled makes a difference worth seeing."""
    command = [str(bin_dir / "nsqd"), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def measure(sides: list[Side], options: argparse.Namespace) -> int:
    """Measure and print; 1 when a check failed anywhere."""
    scenarios = chosen(options.only, options.quick)
    rows = [Row(scenario.name) for scenario in scenarios]
    for side in sides:
        print(f"{side.name}: {version(side.bin_dir)} in {side.bin_dir}", flush=True)
    header = f"{'scenario':28} {'number':26} " + " ".join(f"{side.name:>20}" for side in sides)
    print(header, flush=True)
    for number in range(options.rounds):
        for scenario, row in zip(scenarios, rows, strict=True):
            order = sides if number % 2 == 0 else sides[::-1]
            results = interleave(scenario, order)
            row.rounds.append(results if number % 2 == 0 else results[::-1])
            if number == options.rounds - 1:
                print(table(row, len(sides), details=options.details), flush=True)
            else:
                print(f"round {number + 1}: {row.name}", file=sys.stderr, flush=True)
            write(rows, [side.name for side in sides], options)
    return 1 if any(row.failures() for row in rows) else 0


def write(rows: list[Row], sides: list[str], options: argparse.Namespace) -> None:
    """Write what is known so far to the files asked for."""
    if options.json:
        options.json.write_text(json.dumps(as_json(rows, sides), indent=1))
    if options.markdown:
        options.markdown.write_text(as_markdown(rows, sides))


def main() -> int:
    """The program."""
    options = arguments()
    if options.list:
        print("\n".join(scenario.name for scenario in chosen(options.only, options.quick)))
        return 0
    scale = QUICK_SCALE if options.quick else 1.0
    sides = [Side("here", options.bin.resolve(), scale)]
    if options.base:
        sides.append(Side("base", options.base.resolve(), scale))
    for side in sides:
        if not (side.bin_dir / "nsqd").exists():
            print(f"bench: no nsqd in {side.bin_dir}", file=sys.stderr)
            return 2
    return measure(sides, options)


if __name__ == "__main__":
    sys.exit(main())
