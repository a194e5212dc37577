"""What a scenario found out: numbers with a unit and a direction, and checks that failed."""

import enum
from collections.abc import Callable, Generator
from pathlib import Path

from attrs import define, field, frozen


class Better(enum.Enum):
    """Which way a number is better; INFO has no better."""

    HIGH = "high"
    LOW = "low"
    INFO = "info"


@frozen
class Number:
    """A measured value."""

    value: float
    unit: str
    better: Better

    def ratio(self, base: "Number") -> float | None:
        """How many times better than ``base``; None where that makes no sense."""
        if self.better is Better.INFO or self.value <= 0 or base.value <= 0:
            return None
        if self.better is Better.HIGH:
            return self.value / base.value
        return base.value / self.value


@define
class Result:
    """The outcome of one scenario on one side. Numbers of a run whose checks fail are not used."""

    numbers: dict[str, Number] = field(factory=dict)
    failures: list[str] = field(factory=list)

    def put(self, name: str, value: float, unit: str, better: Better = Better.INFO) -> None:
        """Record a number."""
        self.numbers[name] = Number(value, unit, better)

    def high(self, name: str, value: float, unit: str) -> None:
        """Record a number that is better when higher."""
        self.put(name, value, unit, Better.HIGH)

    def low(self, name: str, value: float, unit: str) -> None:
        """Record a number that is better when lower."""
        self.put(name, value, unit, Better.LOW)

    def check(self, holds: bool, claim: str) -> None:
        """Record a failure unless ``claim`` holds."""
        if not holds:
            self.failures.append(claim)


@frozen
class Side:
    """The programs under test and how much work to give them; ``scale`` 1 is everything."""

    name: str
    bin_dir: Path
    scale: float = 1.0
    memory_limit: int = 4_000_000  # --mem-queue-size where nothing may go to disk

    def count(self, full: int) -> int:
        """Number of messages for this run."""
        return max(1000, int(full * self.scale))

    def seconds(self, full: float) -> float:
        """Length of a slice for this run."""
        return max(0.4, full * self.scale)


Slices = Generator[None, None, None]
Run = Callable[[Side, Result], Slices]


@frozen
class Scenario:
    """A named measurement: a generator that yields where its server is idle."""

    name: str
    run: Run
    quick: bool = False
