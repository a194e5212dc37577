"""What every part may raise."""


class Refused(Exception):
    """A request that is not granted; ``status`` and the text are the API's answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
