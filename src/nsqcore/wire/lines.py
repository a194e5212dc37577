"""Commands that are a line, and the parameters of a line: what `nsqcore.wire.parser` makes of it.

All raise a `ProtocolError` for what the peer must not send.
"""

from nsqcore.names import as_text, is_valid_name, quote
from nsqcore.wire.commands import (
    Command,
    Fault,
    Finish,
    Nop,
    Ready,
    Requeue,
    StartClose,
    Subscribe,
    Touch,
)
from nsqcore.wire.errors import BadChannel, BadTopic, Invalid

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
            return Finish([_message_id("FIN", params, 1)])
        case b"RDY":
            return Ready(params[0] if params else None)
        case b"REQ":
            return Requeue(_message_id("REQ", params, 2), params[1])
        case b"TOUCH":
            return Touch(_message_id("TOUCH", params, 1))
        case b"NOP":
            return Nop()
        case b"SUB":
            return _subscribe(params)
        case b"CLS":
            return StartClose()
    raise Invalid(f"invalid command {as_text(name)}")


def _message_id(name: str, params: list[bytes], wanted: int) -> bytes:
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


def too_long() -> Fault:
    """A line without an end: the connection is closed without an answer."""
    return Fault(Invalid(f"line longer than {MAX_LINE} bytes"), silent=True)
