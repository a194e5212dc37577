"""A raw V2 client: sends the bytes a test gives it and cuts the answers into frames.

Written without the code under test, so that a fault in our frames cannot hide behind itself.
"""

import socket
import struct
import time

from attrs import define, field, frozen

RESPONSE, ERROR, MESSAGE = 0, 1, 2
HEARTBEAT = b"_heartbeat_"
PATIENCE = 60.0  # seconds to wait for a frame; heartbeats do not count


def body(data: bytes) -> bytes:
    """``data`` with its size in front."""
    return struct.pack(">I", len(data)) + data


@frozen
class Received:
    """A message as it came over the wire."""

    id: bytes
    attempts: int
    body: bytes


@define(eq=False)
class Peer:
    """A connection to an nsqd, its magic sent."""

    sock: socket.socket
    patience: float = PATIENCE
    _buffer: bytes = field(default=b"", alias="_buffer")

    @classmethod
    def connect(cls, port: int) -> "Peer":
        """A new connection to ``port`` on this machine."""
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        sock.sendall(b"  V2")
        return cls(sock)

    def send(self, *parts: bytes) -> "Peer":
        """Send the parts as they are."""
        self.sock.sendall(b"".join(parts))
        return self

    def frame(self) -> tuple[int, bytes]:
        """The next frame that is no heartbeat. Raises EOFError when the connection is closed."""
        deadline = time.monotonic() + self.patience
        while True:
            if len(self._buffer) >= 8:
                size, kind = struct.unpack_from(">II", self._buffer)
                if len(self._buffer) >= 4 + size:
                    data = self._buffer[8 : 4 + size]
                    self._buffer = self._buffer[4 + size :]
                    if data == HEARTBEAT:
                        self.sock.sendall(b"NOP\n")
                        continue
                    return kind, data
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
            more = self.sock.recv(1 << 16)
            if not more:
                raise EOFError
            self._buffer += more

    def ask(self, *parts: bytes) -> bytes:
        """The answer to a command: a response's text, or an error's."""
        return self.send(*parts).frame()[1]

    def publish(self, topic: str, *bodies: bytes) -> bytes:
        """The answer to publishing ``bodies`` with one MPUB."""
        packed = struct.pack(">I", len(bodies)) + b"".join(body(data) for data in bodies)
        return self.ask(b"MPUB %s\n" % topic.encode(), body(packed))

    def subscribe(self, topic: str, channel: str, *, ready: int = 0) -> "Peer":
        """Subscribe, and say how many messages may be in flight."""
        assert self.ask(b"SUB %s %s\n" % (topic.encode(), channel.encode())) == b"OK"
        return self.send(b"RDY %d\n" % ready) if ready else self

    def message(self) -> Received:
        """The next message."""
        kind, data = self.frame()
        assert kind == MESSAGE, data
        (attempts,) = struct.unpack_from(">H", data, 8)
        return Received(data[10:26], attempts, data[26:])

    def finish(self, message: Received) -> None:
        """Send the message's FIN."""
        self.send(b"FIN ", message.id, b"\n")

    def consume(self, count: int) -> list[Received]:
        """The next ``count`` messages, each finished."""
        taken = []
        for _ in range(count):
            message = self.message()
            self.finish(message)
            taken.append(message)
        return taken

    def is_closed(self) -> bool:
        """Whether the server closes the connection; what it still sends is read away."""
        try:
            while self.sock.recv(1 << 16):
                pass
        except ConnectionError:
            return True
        return True

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def reset(self) -> None:
        """Hang up with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
