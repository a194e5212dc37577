"""The V2 command parser: bytes of one client in, plural commands out.

A command is a line, and for some a body of int32 size and data after it (spec:
"Commands"). Those that carry traffic have fast paths: a run of FINs is taken
by `hot.split_fin_run`, one of REQs or TERMs that differ in their ids alone by `lines.id_run`, a
run of PUBs by its repeated first line, the bodies of an MPUB by `hot.split_bodies`, as they come
in.

No I/O, no clock. While a command is unfinished its pieces are kept in a list
until the bytes it needs are there, so a large body is joined once.
"""

from struct import Struct

from nsqcore.classes import define, field
from nsqcore.names import as_text
from nsqcore.wire.commands import (
    Auth,
    Command,
    CreateTopic,
    Finish,
    Identify,
    ParseError,
    Publish,
    PublishDeferred,
    PublishHeaded,
)
from nsqcore.wire.errors import BadBody, BadMessage, Invalid, ProtocolError
from nsqcore.wire.headers import MAX_BLOCK, headed_bodies, headed_body
from nsqcore.wire.hot import FIN_SIZE, split_bodies, split_fin_run, split_publishes
from nsqcore.wire.lines import MAX_LINE, id_run, line_command, parse_number, too_long, topic_of

_unpack_size = Struct(">i").unpack_from


class _Unfinished(Exception):
    """No command can be read before the buffer reaches ``end``.

    ``cut`` says what it means if the stream ends first.
    """

    def __init__(self, end: int, cut: ProtocolError) -> None:
        self.end = end
        self.cut = cut


@define(eq=False, repr=False)
class CommandParser:
    """Turns the bytes of one V2 client into commands.

    Feed it whatever was received, cut anywhere; it keeps the unfinished tail.
    ``max_msg_size`` and ``max_body_size`` are in bytes, ``max_delay`` in ms. While
    ``tls_missing`` is set every command but IDENTIFY is a fault; XPUB and XMPUB are known only
    while ``headers`` is.
    """

    max_msg_size: int
    max_body_size: int
    max_delay: int
    tls_missing: bool = field(default=False, init=False)
    headers: bool = field(default=False, init=False)
    #: The commands end behind an IDENTIFY or AUTH: `resume` goes on.
    paused: bool = field(default=False, init=False)
    #: What the end of the stream would mean inside a body that is coming in; None elsewhere.
    cut: ParseError | None = field(default=None, init=False)
    _pieces: list[bytes] = field(factory=list, init=False)  # the unfinished tail
    _held: int = field(default=0, init=False)  # its size
    _need: int = field(default=1, init=False)  # the size at which it is worth another look
    # Of the last PUB and MPUB, which the next are likely to repeat: line and topic.
    _line: bytes = field(default=b"", init=False)
    _topic: str = field(default="", init=False)
    _many_line: bytes = field(default=b"", init=False)
    _many_topic: str = field(default="", init=False)
    _other_topic: str = field(default="", init=False)  # of the last DPUB, XPUB or XMPUB
    _many: Publish | None = field(default=None, init=False)  # an MPUB whose body is coming in …
    _missing: int = field(default=0, init=False)  # … how many messages it lacks …
    _allowed: int = field(default=0, init=False)  # … and how many bytes they may have
    _at: int = field(default=0, init=False)  # how far the current buffer has been understood
    _name: bytes = field(default=b"", init=False)  # the command that is being read
    _commands: list[Command] = field(factory=list, init=False)

    def feed(self, chunk: bytes) -> list[Command]:
        """Every command that ``chunk`` completes, in wire order.

        Never raises. Where the bytes stop being the protocol the list ends
        with a `ParseError`, so that the commands before it are still answered. An
        IDENTIFY or AUTH ends the list too, since what follows may not be plain
        bytes: `resume` goes on with it, `leftover` hands it out.
        """
        if self._line and not self._pieces and self._many is None and chunk.startswith(self._line):
            return self._feed_publishes(chunk)
        if not self._pieces:
            return self._parse(chunk)
        missing = self._need - self._held
        if len(chunk) < missing:
            self._pieces.append(chunk)
            self._held += len(chunk)
            return []
        if missing <= 0:
            return self._parse(self.leftover() + chunk)
        # What was cut is joined, not all that came with its end.
        commands = self._parse(self.leftover() + chunk[:missing])
        if len(chunk) == missing or (commands and isinstance(commands[-1], ParseError)):
            return commands
        if self.paused:
            self._pieces.append(chunk[missing:])
            self._held += len(chunk) - missing
            return commands
        if self._pieces:
            return commands + self._parse(self.leftover() + chunk[missing:])
        return commands + self._parse(chunk, missing)

    def _feed_publishes(self, chunk: bytes) -> list[Command]:
        """`feed` for what comes most: a chunk of PUBs alike, often one, mostly whole."""
        bodies: list[bytes] = []
        end = split_publishes(chunk, 0, self._line, self.max_msg_size, bodies)
        commands: list[Command] = []
        if bodies:
            commands.append(Publish(self._topic, bodies, len(bodies), False))
        return commands if end == len(chunk) else commands + self._parse(chunk, end)

    def resume(self) -> list[Command]:
        """The commands that had to wait behind an IDENTIFY or AUTH."""
        return self._parse(self.leftover()) if self.paused else []

    def leftover(self) -> bytes:
        """The bytes not parsed yet, which the parser forgets."""
        chunk = b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        return chunk

    def clear(self) -> None:
        """Let go of all that has come and is not whole. The stream has ended."""
        self._pieces.clear()
        self._commands = []
        self._many = self.cut = None

    def finish(self) -> list[Command]:
        """What the end of the stream means: nothing, or a `ParseError` inside a body."""
        self.leftover()
        if self.cut is None:
            return []
        many: list[Command] = [CreateTopic(self._many.topic)] if self._many else []
        return [*many, self.cut]

    # ------------------------------------------------------------ one buffer

    def _parse(self, buffer: bytes, start: int = 0) -> list[Command]:
        commands: list[Command] = []
        self._commands = commands
        self._at, self.cut, self._need, self.paused = start, None, 1, False
        self._name = b"MPUB"
        try:
            if self._many is not None:
                self._read_many(buffer, self._many)
            while (newline := buffer.find(b"\n", self._at)) >= 0:
                start = self._at
                if not self.tls_missing and self._read_again(buffer, newline + 1):
                    continue
                if newline - start >= MAX_LINE:
                    return [*commands, too_long()]
                name, *params = buffer[start:newline].removesuffix(b"\r").split(b" ")
                self._name = name
                self._read(buffer, name, params, newline + 1)
                if name == b"IDENTIFY" or name == b"AUTH":
                    self.paused = True
                    break
            else:
                if len(buffer) - self._at >= MAX_LINE:
                    return [*commands, too_long()]
        except _Unfinished as unfinished:
            self._need = unfinished.end - self._at
            self.cut = ParseError(unfinished.cut, self._name, topic=self._publishes_to())
        except ProtocolError as error:
            if self._many is not None:
                commands.append(CreateTopic(self._many.topic))
            # it outlives this call: its traceback would keep the buffer
            return [*commands, ParseError(error.with_traceback(None), self._name)]
        if self._at < len(buffer):
            self._pieces.append(buffer[self._at :])
            self._held = len(buffer) - self._at
        return commands

    def _read_again(self, buffer: bytes, start: int) -> bool:
        """Whether the line that ended at ``start`` was a FIN, REQ or TERM, or the same as that of
        the last PUB or MPUB, and is read with what belongs to it: nearly all are."""
        at = self._at
        if buffer.startswith(b"FIN ", at):
            ids = split_fin_run(buffer, at)
            if ids:
                self._at = at + FIN_SIZE * len(ids)
                self._commands.append(Finish(ids))
            return bool(ids)
        if buffer.startswith((b"REQ ", b"TERM "), at):
            run = id_run(buffer, at, start)
            if run is not None:
                self._commands.append(run[0])
                self._at = run[1]
            return run is not None
        if self._line and buffer.startswith(self._line, at):
            self._name = b"PUB"
            self._read_publish_run(buffer)
            return True
        if self._many_line and buffer.startswith(self._many_line, at):
            self._name = b"MPUB"
            self._open_many(buffer, start)
            return True
        return False

    def _read(self, buffer: bytes, name: bytes, params: list[bytes], start: int) -> None:
        """Read one command, whose line ended at ``start``; moves ``_at`` past it."""
        if self.tls_missing and name != b"IDENTIFY":
            raise Invalid(f"cannot {as_text(name)} in current state (TLS required)")
        match name:
            case b"PUB":
                self._topic = topic_of("PUB", params)
                self._line = buffer[self._at : start]
                self._read_publish_run(buffer)
                return
            case b"MPUB":
                self._many_topic = topic_of("MPUB", params)
                self._many_line = buffer[self._at : start]
                self._open_many(buffer, start)
                return
            case b"DPUB":
                if len(params) < 2:
                    raise Invalid("DPUB insufficient number of parameters")
                topic = self._other_topic = topic_of("DPUB", params)
                delay = self._delay("DPUB", params[1])
                body = self._message_body(buffer, "DPUB", start)
                command: Command = PublishDeferred(topic, body, delay)
                start += 4 + len(body)
            case b"XPUB" if self.headers:
                topic = self._other_topic = topic_of("XPUB", params)
                delay = self._delay("XPUB", params[1]) if len(params) > 1 else 0
                body = self._headed_body(buffer, start)
                one = headed_body("XPUB", body, self.max_msg_size)
                command = PublishHeaded(topic, [one], False, delay)
                start += 4 + len(body)
            case b"XMPUB" if self.headers:
                topic = self._other_topic = topic_of("XMPUB", params)
                body = self._command_body(buffer, "XMPUB", start)
                command = PublishHeaded(topic, headed_bodies(body, self.max_msg_size), True)
                start += 4 + len(body)
            case b"IDENTIFY":
                body = self._command_body(buffer, "IDENTIFY", start)
                command = Identify(body)
                start += 4 + len(body)
            case b"AUTH":
                if params:
                    raise Invalid("AUTH invalid number of parameters")
                body = self._command_body(buffer, "AUTH", start)
                command = Auth(body)
                start += 4 + len(body)
            case _:
                command = line_command(name, params)
        self._at = start
        self._commands.append(command)

    # ------------------------------------------------------------ publishing

    def _read_publish_run(self, buffer: bytes) -> None:
        """The PUBs from here on that all begin with `_line`, as one Publish."""
        bodies: list[bytes] = []
        end = split_publishes(buffer, self._at, self._line, self.max_msg_size, bodies)
        if bodies:
            self._commands.append(Publish(self._topic, bodies, len(bodies), many=False))
            self._at = end
        if buffer.startswith(self._line, end):  # another, cut off or faulty
            self._message_body(buffer, "PUB", end + len(self._line))

    def _open_many(self, buffer: bytes, start: int) -> None:
        """Begin an MPUB, whose line ended at ``start``. From here on its topic exists, whatever
        becomes of the rest."""
        self._many = many = Publish(self._many_topic, [], 1, many=True)
        self._missing = 0  # until the head is there
        self._at = start
        self._read_many(buffer, many)

    def _read_many_head(self, buffer: bytes) -> None:
        """Body size and count of the open MPUB. The size is only checked: the messages
        themselves say where the body ends."""
        start = self._at
        self._body_size(buffer, "MPUB", start)
        if len(buffer) < start + 8:
            raise _Unfinished(start + 8, BadBody("MPUB failed to read message count"))
        (count,) = _unpack_size(buffer, start + 4)
        # a message takes at least five bytes of the body
        if not 0 < count <= (self.max_body_size - 4) // 5:
            raise BadBody(f"MPUB invalid message count {count}")
        self._missing = count
        self._allowed = self.max_body_size - 4
        self._at = start + 8

    def _read_many(self, buffer: bytes, many: Publish) -> None:
        """What ``buffer`` holds of the messages that the open MPUB still lacks."""
        if not self._missing:
            self._read_many_head(buffer)
        bodies, end = many.bodies, len(buffer)
        had = len(bodies)
        position = split_bodies(buffer, self._at, end, self._missing, self.max_msg_size, bodies)
        self._allowed -= position - self._at
        self._at = position
        self._missing -= len(bodies) - had
        self._check_allowed(0)
        if not self._missing:
            self._many = None
            last = self._commands[-1] if self._commands else None
            if isinstance(last, Publish) and last.many and last.topic == many.topic:
                last.bodies += bodies
                last.replies += 1
            else:
                self._commands.append(many)
            return
        if position + 4 > end:
            cut = f"MPUB failed to read message({len(bodies)}) body size"
            raise _Unfinished(position + 4, BadMessage(cut))
        (size,) = _unpack_size(buffer, position)
        if size <= 0:
            raise BadMessage(f"MPUB invalid message({len(bodies)}) body size {size}")
        if size > self.max_msg_size:
            raise BadMessage(f"MPUB message too big {size} > {self.max_msg_size}")
        self._check_allowed(4 + size)
        raise _Unfinished(position + 4 + size, BadMessage("MPUB failed to read message body"))

    def _check_allowed(self, size: int) -> None:
        """Refuse an MPUB whose messages outgrow, with ``size`` bytes more, any body allowed."""
        if size > self._allowed:
            total = self.max_body_size - self._allowed + size
            raise BadBody(f"MPUB body too big {total} > {self.max_body_size}")

    def _delay(self, name: str, text: bytes) -> int:
        """The delay of ``name`` in ms."""
        delay = parse_number(text)
        if delay is None:
            raise Invalid(f"{name} could not parse timeout {as_text(text)}")
        if delay > self.max_delay:
            raise Invalid(f"{name} timeout {delay} out of range 0-{self.max_delay}")
        return delay

    def _publishes_to(self) -> str:
        """The topic of the publish that is being read; empty if it is another command."""
        match self._name:
            case b"PUB":
                return self._topic
            case b"MPUB":
                return self._many_topic
            case b"DPUB" | b"XPUB" | b"XMPUB":
                return self._other_topic
        return ""

    # ------------------------------------------------------------ bodies

    def _message_body(self, buffer: bytes, name: str, start: int, *, more: int = 0) -> bytes:
        """The message whose size stands at ``start``: so many bytes ``more`` than one may have."""
        if len(buffer) < start + 4:
            raise _Unfinished(start + 4, BadMessage(f"{name} failed to read message body size"))
        (size,) = _unpack_size(buffer, start)
        if size <= 0:
            raise BadMessage(f"{name} invalid message body size {size}")
        if size > self.max_msg_size + more:
            raise BadMessage(f"{name} message too big {size} > {self.max_msg_size}")
        stop = start + 4 + size
        if stop > len(buffer):
            raise _Unfinished(stop, BadMessage(f"{name} failed to read message body"))
        return buffer[start + 4 : stop]

    def _headed_body(self, buffer: bytes, start: int) -> bytes:
        """The message with headers whose size stands at ``start``."""
        return self._message_body(buffer, "XPUB", start, more=2 + MAX_BLOCK)

    def _command_body(self, buffer: bytes, name: str, start: int) -> bytes:
        """The body, not a message, whose size stands at ``start``."""
        stop = start + 4 + self._body_size(buffer, name, start)
        if stop > len(buffer):
            raise _Unfinished(stop, BadBody(f"{name} failed to read body"))
        return buffer[start + 4 : stop]

    def _body_size(self, buffer: bytes, name: str, start: int) -> int:
        if len(buffer) < start + 4:
            raise _Unfinished(start + 4, BadBody(f"{name} failed to read body size"))
        (size,) = _unpack_size(buffer, start)
        if size <= 0:
            raise BadBody(f"{name} invalid body size {size}")
        if size > self.max_body_size:
            raise BadBody(f"{name} body too big {size} > {self.max_body_size}")
        return int(size)
