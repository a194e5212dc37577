"""Whether the disk takes messages, as /ping, /stats and the probes tell it."""

from attrs import define


@define(eq=False)
class Health:
    """``error`` is what the last write to the disk failed with; empty once it works again.

    It is a text: an exception would keep its traceback, and with it all that was to be written.
    ``failures`` counts the writes that failed.
    """

    error: str = ""
    failures: int = 0

    @property
    def text(self) -> str:
        """``OK``, or what is wrong, in the words of the original."""
        return f"NOK - {self.error}" if self.error else "OK"

    def failed(self, error: object) -> None:
        """Take note that the disk refused a write."""
        self.error = str(error) or "the disk failed"
        self.failures += 1

    def recovered(self) -> None:
        """Take note that the disk takes messages."""
        self.error = ""
