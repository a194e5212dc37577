"""Runs scenarios on one side, or on two in turn.

A scenario yields where its server is idle. With two sides each goes on until its next yield
while the other rests, taking turns in going first, so that a noisy moment of the machine hits both.
"""

from bench.processes import Broken
from bench.result import Result, Scenario, Side, Slices


def interleave(scenario: Scenario, sides: list[Side]) -> list[Result]:
    """One result per side."""
    results = [Result() for _ in sides]
    steps: list[Slices | None] = [
        scenario.run(side, result) for side, result in zip(sides, results, strict=True)
    ]
    order = list(range(len(sides)))
    while any(steps):
        for index in order:
            step = steps[index]
            if step is not None and not advance(step, results[index]):
                steps[index] = None
        order.reverse()
    return results


def advance(step: Slices, result: Result) -> bool:
    """Run to the next yield; False at the end. What breaks is a failure of this result alone."""
    try:
        next(step)
    except StopIteration:
        return False
    except (Broken, OSError, LookupError, ValueError, ZeroDivisionError) as error:
        result.failures.append(f"{type(error).__name__}: {error}")
        return False
    return True
