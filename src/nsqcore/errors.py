"""The root of the suite's errors."""


class NsqError(Exception):
    """The root of every error the suite raises on purpose."""
