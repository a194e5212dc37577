"""An HTTP answer, as far as `nsq_to_http` looks at it: bytes in, status out. No I/O.

A message was taken or not as soon as the final head says so; nothing that comes later, and nothing
odd beside the status, changes that. So the parser is lenient where RFC 9112 allows it and where it
does not: lines may end in a bare LF, headers that are none are passed over, and a body that is
framed in no known way only makes the connection unfit for another request.
"""

import re

from nsqcore.classes import define

# Of all heads of one answer together; what Go's client allows by default is ten times that.
MAX_HEAD = 1024 * 1024

# Of a line with the size of a chunk, and of all trailers.
MAX_LINE = 64 * 1024

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/(\d+\.\d+) +(\d{3})(?=[ \t\r\n])")
_HEADER = re.compile(
    rb"\n(content-length|transfer-encoding|connection|location)[ \t]*:[ \t]*([^\r\n]*)", re.I
)
# The first line end is that of the chunk before.
_CHUNK = re.compile(rb"(?:\r?\n)?[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_EMPTY_LINE = re.compile(rb"\r?\n")
_DIGITS = re.compile(rb"\d{1,18}")

SWITCHING = 101
WITHOUT_BODY = (SWITCHING, 204, 304)


class BadAnswer(Exception):
    """What came is no HTTP answer."""


@define(eq=False, repr=False)
class AnswerParser:
    """Parses one answer. Feed it what comes, cut anywhere.

    Attributes:
        status: of the final head; None until that is here. 1xx but 101 are not final.
        location: where a redirect leads; empty for nowhere.
        complete: the end of the body is here.
        reusable: once complete, whether the connection may carry another request.
        framed: whether the end of the body can be told without the end of the stream.
        size: bytes of the body so far.
    """

    status: int | None = None
    location: str = ""
    complete: bool = False
    reusable: bool = False
    framed: bool = False
    size: int = 0
    _buffer: bytes = b""
    _heads: int = 0
    _left: int | None = None  # of a body with a length
    _chunked: bool = False
    _chunk: int = 0  # bytes left of the present one
    _last_chunk: bool = False
    _keep: bool = False

    def feed(self, data: bytes) -> None:
        """Parse the next bytes.

        Raises:
            BadAnswer: there is no final head yet, and this can become none.
        """
        if self.status is None:
            self._buffer += data
            while self.status is None:
                if not self._take_head():
                    return
            data, self._buffer = self._buffer, b""
        if not self.complete:
            self._take_body(data)
        elif data:  # nobody asked for it
            self.reusable = False

    def _take_head(self) -> bool:
        """Parse a head from the buffer; whether there was a whole one."""
        buffer = self._buffer.lstrip(b"\r\n")
        end = _END_OF_HEAD.search(buffer)
        start = _STATUS.match(buffer)
        if start is None and (end or len(buffer) > 64 or not _may_begin(buffer)):
            raise BadAnswer(f"not an HTTP answer: {buffer[:40]!r}")
        if self._heads + len(buffer if end is None else buffer[: end.end()]) > MAX_HEAD:
            raise BadAnswer("the head of the answer is too large")
        if end is None or start is None:
            self._buffer = buffer
            return False
        head, self._buffer = buffer[: end.end()], buffer[end.end() :]
        self._heads += len(head)
        status = int(start[2])
        if 100 <= status < 200 and status != SWITCHING:
            return True
        self._take_headers(head, status, start[1])
        return True

    def _take_headers(self, head: bytes, status: int, version: bytes) -> None:
        self.status = status
        lengths: set[bytes] = set()
        codings: list[bytes] = []
        tokens: list[bytes] = []
        for name, value in _HEADER.findall(head):
            lowered = name.lower()
            if lowered == b"location":
                self.location = value.strip().decode("utf-8", "replace")
            elif lowered == b"content-length":
                lengths.update(part.strip() for part in value.split(b","))
            elif lowered == b"transfer-encoding":
                codings.append(value.strip().lower())
            else:
                tokens += [token.strip() for token in value.lower().split(b",")]
        if version == b"1.1":
            self._keep = b"close" not in tokens
        else:
            self._keep = version == b"1.0" and b"keep-alive" in tokens
        if status in WITHOUT_BODY:
            self._left = 0
        elif codings:
            self._chunked = codings == [b"chunked"]
            self._keep = self._keep and not lengths  # RFC 9112, section 6.3
        elif len(lengths) == 1 and _DIGITS.fullmatch(length := lengths.pop()):
            self._left = int(length)
        self._keep = self._keep and status != SWITCHING
        self.framed = self._chunked or self._left is not None

    def _take_body(self, data: bytes) -> None:
        if self._left is not None:
            used = min(len(data), self._left)
            self._left -= used
            self.size += used
            if not self._left:
                self._end(data[used:])
        elif self._chunked:
            self._take_chunks(data)
        else:
            self.size += len(data)

    def _take_chunks(self, data: bytes) -> None:
        buffer = self._buffer + data
        while not self._last_chunk:
            used = min(len(buffer), self._chunk)
            self._chunk -= used
            self.size += used
            buffer = buffer[used:]
            line = _CHUNK.match(buffer)
            if line is None:
                break
            self._chunk = int(line[1], 16)
            self._last_chunk = not self._chunk
            buffer = buffer[line.end() :]
        self._buffer = buffer
        if self._last_chunk:
            end = _EMPTY_LINE.match(buffer) or _END_OF_HEAD.search(buffer)
            if end is not None:
                self._end(buffer[end.end() :])
                return
        is_odd = not self._last_chunk and b"\n" in buffer.lstrip(b"\r\n")
        if is_odd or len(buffer) > MAX_LINE:  # not chunks: who knows where it ends
            self._keep = self._chunked = self.framed = False
            self._buffer = b""

    def _end(self, rest: bytes) -> None:
        self.complete = True
        self.reusable = self._keep and not rest


def _may_begin(buffer: bytes) -> bool:
    """Whether a status line may begin with these few bytes."""
    return b"HTTP/".startswith(buffer[:5]) or buffer.startswith(b"HTTP/")
