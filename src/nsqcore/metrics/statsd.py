"""Lines for a statsd daemon, gathered into packets.

A packet holds as many whole lines as fit into its size; a line that is longer than
that goes alone. No sockets here: `Packets.take` gives what is to be sent.
"""

from nsqcore.classes import define, field


def host_key(host: str, port: int) -> str:
    """``host`` and ``port`` as one part of a metric's name."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return address.replace(".", "_").replace(":", "_")


def expand_prefix(prefix: str, key: str) -> str:
    """``prefix`` with ``key`` in place of ``%s``, and with a dot at the end unless it is empty."""
    expanded = prefix.replace("%s", key)
    return expanded if not expanded or expanded.endswith(".") else expanded + "."


@define(eq=False, repr=False)
class Packets:
    """Metrics named ``prefix`` and then what is given, in packets of at most ``size`` bytes."""

    prefix: str
    size: int
    _full: list[bytes] = field(factory=list, init=False)
    _lines: list[bytes] = field(factory=list, init=False)
    _length: int = field(default=0, init=False)

    def count(self, name: str, value: int) -> None:
        """Add a counter: what came since the last time."""
        self._add(f"{self.prefix}{name}:{value}|c\n".encode())

    def gauge(self, name: str, value: int) -> None:
        """Add a gauge: what there is."""
        self._add(f"{self.prefix}{name}:{value}|g\n".encode())

    def take(self) -> list[bytes]:
        """The packets to send. The next metric begins a new one."""
        self._close()
        full, self._full = self._full, []
        return full

    def _add(self, line: bytes) -> None:
        if self._length + len(line) > self.size:
            self._close()
        self._lines.append(line)
        self._length += len(line)

    def _close(self) -> None:
        if self._lines:
            self._full.append(b"".join(self._lines))
            self._lines = []
            self._length = 0
