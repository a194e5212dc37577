"""What every part may raise."""


class Refused(Exception):
    """A request that is not granted.

    ``status`` and the text are the API's answer; ``retry_after`` is in seconds, 0 if trying again
    would not help.
    """

    def __init__(self, status: int, message: str, *, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
