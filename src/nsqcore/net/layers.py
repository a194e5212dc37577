"""What lies between a socket and its session: TLS, compressions. Bytes in, bytes out; no I/O.

A *layer* decodes what came from the peer and encodes what goes to it. Layers are stacked in a
`Pipeline`: the first is next to the socket, the last next to the session. Decoding is bounded by
whoever asks for it: a kilobyte may hold a megabyte, so each call gives a piece, and says by
``has_more`` whether there is another without further input.
"""

from typing import Protocol

from nsqcore.classes import define, field


class Layer(Protocol):
    """One transformation of a connection's bytes, both ways."""

    @property
    def is_open(self) -> bool:
        """The handshake is done: what is decoded and encoded now is the session's."""

    @property
    def has_more(self) -> bool:
        """`decode` may give more without further input."""

    @property
    def has_output(self) -> bool:
        """There is something of the layer's own to send; `encode` gives it."""

    @property
    def ended(self) -> bool:
        """The peer has said, inside this layer, that it sends no more."""

    def decode(self, data: bytes, limit: int) -> bytes:
        """At most about ``limit`` bytes of what ``data`` and earlier input hold.

        Raises:
            NsqError: the input is garbled, or the handshake failed.
        """

    def encode(self, data: bytes | memoryview) -> bytes:
        """``data`` for the peer, behind the layer's own output; all of it can be read at once."""

    def end_input(self) -> None:
        """Learn that nothing more comes from below. Raises NsqError during a handshake."""

    def close(self) -> bytes:
        """The last bytes, which say that nothing follows."""


@define(eq=False, repr=False)
class Pipeline:
    """The layers of one connection."""

    _layers: list[Layer] = field(factory=list, init=False)
    #: What waits below each layer to be decoded.
    _inputs: list[bytes] = field(factory=list, init=False)
    #: Decoded, and more than was asked for: a layer's smallest piece may be large.
    _rest: bytes = field(default=b"", init=False)

    def push(self, layer: Layer, first: bytes) -> None:
        """Add ``layer`` next to the session; ``first`` is its first input."""
        self._layers.append(layer)
        self._inputs.append(first + self._rest)
        self._rest = b""

    @property
    def is_open(self) -> bool:
        """Every handshake is done."""
        return self._layers[-1].is_open

    @property
    def has_more(self) -> bool:
        """`read` may give more without further input."""
        if self._rest:
            return True
        for number, layer in enumerate(self._layers):
            if self._inputs[number] or layer.has_more:
                return True
        return False

    @property
    def has_output(self) -> bool:
        """A layer has something of its own to send."""
        for layer in self._layers:  # noqa: SIM110 - looked at for every read, and a loop is cheaper
            if layer.has_output:
                return True
        return False

    @property
    def ended(self) -> bool:
        """The peer has said that it sends no more."""
        for layer in self._layers:  # noqa: SIM110
            if layer.ended:
                return True
        return False

    def feed(self, data: bytes) -> None:
        """Take what came from the socket."""
        self._inputs[0] = self._inputs[0] + data if self._inputs[0] else data

    def read(self, limit: int) -> bytes:
        """At most ``limit`` bytes for the session; b"" when there are none, or when the last
        handshake has just been completed.

        Raises:
            NsqError: the input is garbled, or a handshake failed.
        """
        data = self._rest or self._read(len(self._layers) - 1, limit)
        self._rest = data[limit:]
        return data[:limit]

    def _read(self, number: int, limit: int) -> bytes:
        layer = self._layers[number]
        was_open = layer.is_open
        data = b""
        if not layer.has_more:
            data = self._next_input(number, limit)
            if not data:
                return b""
        while True:
            decoded = layer.decode(data, limit)
            if decoded or layer.is_open is not was_open:
                return decoded
            data = self._next_input(number, limit)
            if not data:
                return b""

    def _next_input(self, number: int, limit: int) -> bytes:
        data = self._inputs[number]
        if data:
            self._inputs[number] = b""
            return data
        return self._read(number - 1, limit) if number else b""

    def encode(self, data: bytes | memoryview) -> bytes:
        """``data``, and what the layers have to say, for the socket."""
        for layer in reversed(self._layers):
            data = layer.encode(data)
        return bytes(data)

    def end_input(self) -> None:
        """Learn that nothing more comes from the socket. Raises NsqError during a handshake."""
        for layer in self._layers:
            layer.end_input()

    def close(self) -> bytes:
        """The last bytes for the socket."""
        data = b""
        for layer in reversed(self._layers):
            data = (layer.encode(data) if data else b"") + layer.close()
        return data


class Codec(Protocol):
    """A compression: see `nsqcore.wire.compression.deflate`, `nsqcore.wire.compression.snappy`."""

    @property
    def has_more(self) -> bool:
        """`decompress` may give more without further input."""

    def compress(self, data: bytes | memoryview) -> bytes:
        """``data`` compressed and flushed, so that the peer can read all of it."""

    def decompress(self, data: bytes, limit: int) -> bytes:
        """At most about ``limit`` bytes of what ``data`` and earlier input hold."""


@define(eq=False, repr=False)
class Compression:
    """The layer of a compression."""

    codec: Codec
    is_open: bool = field(default=True, init=False)
    has_output: bool = field(default=False, init=False)
    ended: bool = field(default=False, init=False)

    @property
    def has_more(self) -> bool:
        """`decode` may give more without further input."""
        return self.codec.has_more

    def decode(self, data: bytes, limit: int) -> bytes:
        """Decompressed bytes. Raises NsqError."""
        return self.codec.decompress(data, limit)

    def encode(self, data: bytes | memoryview) -> bytes:
        """``data`` compressed."""
        return self.codec.compress(data) if data else b""

    def end_input(self) -> None:
        """A compressed stream may end anywhere; the protocol inside shows what is cut short."""

    def close(self) -> bytes:
        """Neither compression has an end of its own that clients look for."""
        return b""
