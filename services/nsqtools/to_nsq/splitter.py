"""Chunks of input into bodies."""

from nsqcore.classes import define, field


@define(eq=False, repr=False)
class Splitter:
    """Cuts chunks into bodies at a delimiter; keeps an unfinished one. Empty ones are dropped."""

    delimiter: bytes
    _pieces: list[bytes] = field(factory=list)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The bodies that ``chunk`` completes; ``b""`` is the end, and completes the last."""
        if not chunk:
            last = b"".join(self._pieces)
            self._pieces.clear()
            return [last] if last else []
        first, *others = chunk.split(self.delimiter)
        self._pieces.append(first)
        if not others:
            return []
        rest = others.pop()
        bodies = [b"".join(self._pieces), *others]
        self._pieces = [rest]
        return [body for body in bodies if body]
