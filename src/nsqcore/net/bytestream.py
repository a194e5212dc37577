"""The stream under a session, as an upgrade sees it."""

from typing import Protocol


class ByteStream(Protocol):
    """What is needed of a trio stream."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """A chunk; b"" at the end."""

    async def send_all(self, data: bytes) -> None:
        """Send ``data``."""

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending may not block."""

    async def aclose(self) -> None:
        """Close."""
