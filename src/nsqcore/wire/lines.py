"""Commands that are a line, and the parameters of a line: what `nsqcore.wire.parser` makes of it.

All raise a `ProtocolError` for what the peer must not send.
"""

from nsqcore.names import as_text, is_valid_name, quote
from nsqcore.wire.commands import (
    Command,
    Finish,
    Nop,
    ParseError,
    Ready,
    Requeue,
    StartClose,
    Subscribe,
    Terminate,
    Touch,
)
from nsqcore.wire.errors import BadChannel, BadTopic, Invalid
from nsqcore.wire.hot import split_id_run

# The original reads lines through a buffer of this size, and ends the connection beyond it.
MAX_LINE = 16 * 1024

MESSAGE_ID_SIZE = 16


def parse_number(text: bytes) -> int | None:
    """A number as the protocol writes it, decimal digits only; nothing at all is 0."""
    if not text:
        return 0
    # more digits than a 64-bit number has are out of every range anyway
    return int(text.lstrip(b"0")[:20] or b"0") if text.isdigit() else None


def line_command(name: bytes, params: list[bytes]) -> Command:
    """The command of a line that has no body."""
    match name:
        case b"FIN":
            return Finish([message_id("FIN", params, 1)])
        case b"RDY":
            return Ready(params[0] if params else None)
        case b"REQ":
            return Requeue([message_id("REQ", params, 2)], params[1])
        case b"TERM":
            return Terminate(params[:1], params[1:])
        case b"TOUCH":
            return Touch(message_id("TOUCH", params, 1))
        case b"NOP":
            return Nop()
        case b"SUB":
            return _subscribe(params)
        case b"CLS":
            return StartClose()
    raise Invalid(f"invalid command {as_text(name)}")


def id_run(buffer: bytes, start: int, end: int) -> tuple[Command, int] | None:
    """The REQs, or TERMs, from ``start`` on that differ in their ids alone, as one command, and
    where they end. None if the first of them, whose line ends at ``end``, has no whole id."""
    word = b"REQ " if buffer.startswith(b"REQ ", start) else b"TERM "
    rest = buffer[start + len(word) + MESSAGE_ID_SIZE : end]
    words = rest.removesuffix(b"\n").removesuffix(b"\r").split(b" ")
    if words[0] or not rest or (word == b"REQ " and len(words) < 2):
        return None
    ids = split_id_run(buffer, start, word, rest)
    if not ids:
        return None
    run = Requeue(ids, words[1]) if word == b"REQ " else Terminate(ids, words[1:])
    return run, start + len(ids) * (len(word) + MESSAGE_ID_SIZE + len(rest))


def message_id(name: str, params: list[bytes], wanted: int) -> bytes:
    """The id that is the first of ``params``, of which ``name`` needs as many as ``wanted``."""
    if len(params) < wanted:
        raise Invalid(f"{name} insufficient number of params")
    if len(params[0]) != MESSAGE_ID_SIZE:
        raise Invalid("invalid message ID")
    return params[0]


def _subscribe(params: list[bytes]) -> Subscribe:
    if len(params) < 2:
        raise Invalid("SUB insufficient number of parameters")
    topic, channel = as_text(params[0]), as_text(params[1])
    if not is_valid_name(topic):
        raise BadTopic(f"SUB topic name {quote(topic)} is not valid")
    if not is_valid_name(channel):
        raise BadChannel(f"SUB channel name {quote(channel)} is not valid")
    return Subscribe(topic, channel)


def topic_of(name: str, params: list[bytes]) -> str:
    """The topic of the command ``name``: its first parameter."""
    if not params:
        raise Invalid(f"{name} insufficient number of parameters")
    topic = as_text(params[0])
    if not is_valid_name(params[0]):
        # the original names the code twice for MPUB, and clients match on the text
        twice = "E_BAD_TOPIC " if name == "MPUB" else ""
        raise BadTopic(f"{twice}{name} topic name {quote(topic)} is not valid")
    return topic


def too_long() -> ParseError:
    """A line without an end: the connection is closed without an answer."""
    return ParseError(Invalid(f"line longer than {MAX_LINE} bytes"), silent=True)
