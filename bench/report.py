"""The table for people and the JSON for programs.

Several rounds of a scenario are summed up by the median; a ratio is the median of the ratios of the
single rounds, so that the two sides of a round are compared under the same noise.
"""

import statistics
from typing import Any

from attrs import define, field

from bench.result import Better, Number, Result


@define
class Row:
    """All rounds of one scenario; ``rounds[i][j]`` is round i, side j."""

    name: str
    rounds: list[list[Result]] = field(factory=list)

    def names(self) -> list[str]:
        """The numbers measured, in order."""
        found: dict[str, None] = {}
        for results in self.rounds:
            for result in results:
                found.update(dict.fromkeys(result.numbers))
        return list(found)

    def numbers(self, name: str, side: int) -> list[Number]:
        """The values of one number on one side, of rounds without failures."""
        sound = [results[side] for results in self.rounds if not results[side].failures]
        return [result.numbers[name] for result in sound if name in result.numbers]

    def ratio(self, name: str) -> float | None:
        """How many times better side 0 is than side 1; the median over the rounds."""
        pairs = zip(self.numbers(name, 0), self.numbers(name, 1), strict=False)
        ratios = [ratio for ours, base in pairs if (ratio := ours.ratio(base)) is not None]
        return statistics.median(ratios) if ratios else None

    def is_judged(self, name: str) -> bool:
        """Whether one value of the number is better than another."""
        found = [
            r.numbers[name].better for results in self.rounds for r in results if name in r.numbers
        ]
        return any(better is not Better.INFO for better in found)

    def cell(self, name: str, side: int) -> str:
        """The median of a number on one side, with its unit."""
        numbers = self.numbers(name, side)
        if not numbers:
            return "-"
        return show(statistics.median(number.value for number in numbers), numbers[0].unit)

    def failures(self) -> list[str]:
        """What went wrong, on any side."""
        return [text for results in self.rounds for result in results for text in result.failures]


def show(value: float, unit: str) -> str:
    """A value with its unit, three digits or so."""
    if unit.endswith("/s") and value >= 10_000:
        return f"{value / 1000:,.1f} k {unit}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    return f"{value:,.{digits}f} {unit}".rstrip()


def line(row: Row, name: str, sides: int, first: bool) -> str:
    """One line of the table."""
    cells = [row.cell(name, side) for side in range(sides)]
    text = f"{row.name if first else '':28} {name:26} " + " ".join(f"{c:>20}" for c in cells)
    ratio = row.ratio(name) if sides == 2 else None
    return text + (f" {ratio:8.2f}" if ratio is not None else "")


def table(row: Row, sides: int, *, details: bool) -> str:
    """The lines of one scenario; INFO numbers only with ``details``."""
    lines: list[str] = []
    for name in row.names():
        if not row.is_judged(name) and not details:
            continue
        lines.append(line(row, name, sides, first=not lines))
    lines += [f"{row.name:28} *** FAILED: {text}" for text in row.failures()]
    return "\n".join(lines)


def as_markdown(rows: list[Row], sides: list[str]) -> str:
    """The numbers that have a better, as a table for the documentation."""
    heads = ["scenario", "number", *sides] + (["times better"] if len(sides) == 2 else [])
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * 2 + "---:|" * (len(heads) - 2)]
    for row in rows:
        names = [n for n in row.names() if row.is_judged(n)]
        for name in names:
            cells = [row.name if name == names[0] else "", name]
            cells += [row.cell(name, side) for side in range(len(sides))]
            ratio = row.ratio(name) if len(sides) == 2 else None
            cells += [f"{ratio:.2f}" if ratio else "-"] if len(sides) == 2 else []
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def as_json(rows: list[Row], sides: list[str]) -> dict[str, Any]:
    """Everything measured."""
    return {
        "sides": sides,
        "scenarios": {
            row.name: {
                "failures": row.failures(),
                "numbers": {
                    name: {
                        **{
                            side: [number.value for number in row.numbers(name, index)]
                            for index, side in enumerate(sides)
                        },
                        "ratio": row.ratio(name) if len(sides) == 2 else None,
                    }
                    for name in row.names()
                },
            }
            for row in rows
        },
    }
