"""Units of time as integer nanoseconds, the unit of every deadline and timestamp."""

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000


def ns(seconds: float) -> int:
    """``seconds`` in whole nanoseconds."""
    return round(seconds * SECOND)
