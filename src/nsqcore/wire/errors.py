"""Every error the protocol can name, one class a wire code.

Parsers return these inside a `ParseError`, handlers raise them, and one place in the
session turns either into an error frame. ``fatal`` is data: only the three
failures about a single message leave the connection open.
"""

from typing import ClassVar, Self

from nsqcore.errors import NsqError
from nsqcore.names import as_bytes


class ProtocolError(NsqError):
    """The peer broke the protocol, or asked for something it may not have.

    ``code`` is the token sent on the wire; ``fatal`` says whether the server
    must close the connection after sending it.
    """

    code: ClassVar[str] = "E_INVALID"
    fatal: ClassVar[bool] = True
    #: What made it fail, for the log: a text, so that no traceback is kept.
    cause: str = ""

    def because(self, cause: object) -> Self:
        """This error, with the text of ``cause`` for the log."""
        self.cause = str(cause)
        return self

    def to_wire(self) -> bytes:
        """The body of the error frame: ``b"E_CODE text"``."""
        text = str(self)
        return as_bytes(f"{self.code} {text}" if text else self.code)


class Invalid(ProtocolError):
    """The command is unknown, malformed, or not allowed in this state."""


class BadProtocol(ProtocolError):
    """The first four bytes name no protocol version this server speaks."""

    code = "E_BAD_PROTOCOL"


class BadTopic(ProtocolError):
    """The topic's name breaks the naming rules."""

    code = "E_BAD_TOPIC"


class BadChannel(ProtocolError):
    """The channel's name breaks the naming rules."""

    code = "E_BAD_CHANNEL"


class BadBody(ProtocolError):
    """A command's body is malformed, or its size is out of bounds."""

    code = "E_BAD_BODY"


class BadMessage(ProtocolError):
    """A message is empty, too large, or cut short."""

    code = "E_BAD_MESSAGE"


class IdentifyFailed(ProtocolError):
    """The features asked for cannot be had together, or could not be turned on."""

    code = "E_IDENTIFY_FAILED"


class SubFailed(ProtocolError):
    """The channel cannot take this consumer."""

    code = "E_SUB_FAILED"


class PubFailed(ProtocolError):
    """A PUB could not be queued; nothing was."""

    code = "E_PUB_FAILED"


class MpubFailed(ProtocolError):
    """An MPUB could not be queued."""

    code = "E_MPUB_FAILED"


class DpubFailed(ProtocolError):
    """A DPUB could not be queued."""

    code = "E_DPUB_FAILED"


class FinFailed(ProtocolError):
    """The message is not in flight to this client."""

    code, fatal = "E_FIN_FAILED", False


class ReqFailed(ProtocolError):
    """The message is not in flight to this client."""

    code, fatal = "E_REQ_FAILED", False


class TermFailed(ProtocolError):
    """The message is not in flight to this client."""

    code, fatal = "E_TERM_FAILED", False


class TouchFailed(ProtocolError):
    """The message is not in flight to this client."""

    code, fatal = "E_TOUCH_FAILED", False


class AuthDisabled(ProtocolError):
    """AUTH was sent to a server that has no auth server configured."""

    code = "E_AUTH_DISABLED"


class AuthFailed(ProtocolError):
    """The auth servers could not be asked, or said no."""

    code = "E_AUTH_FAILED"


class AuthFirst(ProtocolError):
    """The command needs an AUTH before it."""

    code = "E_AUTH_FIRST"


class Unauthorized(ProtocolError):
    """The client's permissions do not cover the command."""

    code = "E_UNAUTHORIZED"
