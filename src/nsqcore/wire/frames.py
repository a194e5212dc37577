"""Server-to-client frames: built by the server, taken apart by the client.

A frame is int32 size, int32 type, data; size counts the type (spec: "Data
Format"). The client's parser is plural like the server's: a run of message
frames is one `Messages`.
"""

from struct import Struct

from nsqcore.classes import field, frozen
from nsqcore.wire.errors import ProtocolError
from nsqcore.wire.headers import HEADED_MESSAGE, BadHeaders, record_of_frame
from nsqcore.wire.hot import HEADER_SIZE

RESPONSE, ERROR, MESSAGE = 0, 1, 2

_HEADER = Struct(">ii")

# Far above any --max-msg-size in use; a size beyond it is not a frame but noise.
MAX_FRAME_SIZE = 256 * 1024 * 1024


def response_frame(data: bytes) -> bytes:
    """A response frame holding ``data``."""
    return _HEADER.pack(len(data) + 4, RESPONSE) + data


def error_frame(error: ProtocolError) -> bytes:
    """The error frame that tells the peer of ``error``."""
    data = error.to_wire()
    return _HEADER.pack(len(data) + 4, ERROR) + data


OK_FRAME = response_frame(b"OK")
CLOSE_WAIT_FRAME = response_frame(b"CLOSE_WAIT")
HEARTBEAT_FRAME = response_frame(b"_heartbeat_")


@frozen
class Response:
    """The answer to a command, or a heartbeat (``b"_heartbeat_"``)."""

    data: bytes


@frozen
class ErrorFrame:
    """An error the server reported: ``b"E_CODE text"``."""

    data: bytes

    @property
    def code(self) -> str:
        """The error's token, such as ``E_BAD_TOPIC``."""
        return self.data.partition(b" ")[0].decode("ascii", "replace")

    @property
    def text(self) -> str:
        """What follows the token."""
        return self.data.partition(b" ")[2].decode("utf-8", "replace")


@frozen
class Messages:
    """A run of messages, as records."""

    records: list[bytes]


@frozen
class BadFrame:
    """Where the bytes stopped being frames. Always the last value; feed no more."""

    reason: str


Frame = Response | ErrorFrame | Messages | BadFrame


class FrameParser:
    """Turns the bytes of one server into frames.

    Feed it whatever was received, cut anywhere; it keeps the unfinished tail. Messages with
    headers, of who asked for them, come as records that have these behind the body.
    """

    def __init__(self, max_frame_size: int = MAX_FRAME_SIZE, *, headers: bool = False) -> None:
        self._max = max_frame_size
        self._last_kind = HEADED_MESSAGE if headers else MESSAGE
        self._pieces: list[bytes] = []
        self._held = 0
        self._need = 8

    def feed(self, chunk: bytes) -> list[Frame]:
        """Every frame that ``chunk`` completes, in order. Never raises."""
        if self._pieces:
            self._pieces.append(chunk)
            self._held += len(chunk)
            if self._held < self._need:
                return []
            chunk = b"".join(self._pieces)
            self._pieces.clear()
        return self._split(chunk)

    def _split(self, buffer: bytes) -> list[Frame]:
        frames: list[Frame] = []
        run: list[bytes] = []
        position, end = 0, len(buffer)
        unpack = _HEADER.unpack_from
        need = 8
        while end - position >= 8:
            size, kind = unpack(buffer, position)
            if size < 4 or size > self._max or not RESPONSE <= kind <= self._last_kind:
                frames.append(BadFrame(f"frame of size {size} and type {kind}"))
                return frames
            stop = position + 4 + size
            if stop > end:
                need = stop - position
                break
            data = buffer[position + 8 : stop]
            position = stop
            if kind >= MESSAGE:
                if kind == HEADED_MESSAGE:
                    try:
                        data = record_of_frame(data)
                    except BadHeaders as fault:
                        frames.append(BadFrame(f"message with headers, {fault}"))
                        return frames
                if size < HEADER_SIZE + 4:
                    frames.append(BadFrame(f"message frame of size {size}"))
                    return frames
                if not run:
                    frames.append(Messages(run))
                run.append(data)
            else:
                run = []
                frames.append(Response(data) if kind == RESPONSE else ErrorFrame(data))
        if position < end:
            self._pieces.append(buffer[position:])
        self._held, self._need = end - position, need
        return frames


@frozen
class Message:
    """One message as a client sees it."""

    id: bytes
    timestamp: int = field(metadata={"unit": "ns"})
    attempts: int
    body: bytes


_RECORD = Struct(">qH16s")


def parse_record(record: bytes) -> Message:
    """The fields of a record of at least 26 bytes."""
    timestamp, attempts, id = _RECORD.unpack_from(record)
    return Message(id, timestamp, attempts, record[HEADER_SIZE:])
