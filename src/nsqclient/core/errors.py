"""What can go wrong for a user of the client, one class a kind of trouble.

All of them are `ClientError`. The cause on the other side of the socket
travels as ``__cause__`` or in ``code``, the protocol's own token.
"""

from nsqcore.errors import NsqError


class ClientError(NsqError):
    """The root of every error the client raises on purpose."""


def without_traceback(error: ClientError) -> ClientError:
    """``error`` for keeping: neither it nor its causes hold the frames they came through."""
    one: BaseException | None = error
    while one is not None:
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return error


class ConnectionLost(ClientError):
    """A connection ended, or could not be made.

    Where a publish raises it, ``sent`` tells whether the command may have
    reached nsqd: if it is False, nothing was published.
    """

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class ProtocolError(ClientError):
    """nsqd refused a command, or spoke something that is not the protocol.

    ``code`` is the token nsqd sent, such as ``E_BAD_TOPIC``; empty if it sent none.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class PublishError(ProtocolError):
    """nsqd refused the message, or would refuse it: nothing was published.

    ``code`` is the protocol's token: ``E_BAD_TOPIC``, ``E_BAD_MESSAGE``, ….
    """


class AuthFailed(ProtocolError):
    """nsqd wants another secret, or any at all; or it could not ask its auth server."""


class MessageExpired(ClientError):
    """nsqd no longer counts the message as ours; it delivers it again, to us or to another.

    The timeout passed before the answer, or the connection it came by is gone.
    """


class Overloaded(ClientError):
    """As many publishes wait as may (``max_waiting`` of the producer): nothing was published."""


class AlreadyAnswered(ClientError):
    """The message was finished or requeued before; each message has one answer."""


class Closed(ClientError):
    """The producer or consumer was closed."""


class HttpError(ClientError):
    """An HTTP request failed: no answer, a refusal, or an answer that makes no sense.

    ``status`` is the HTTP status, 0 without an answer; ``message`` is the
    server's own word, such as ``TOPIC_NOT_FOUND``. ``wrong_server`` is set if what answers is
    no such server, or one that does not know or trust us: to try again is of no use.
    """

    def __init__(
        self, text: str, *, status: int = 0, message: str = "", wrong_server: bool = False
    ) -> None:
        super().__init__(text)
        self.wrong_server = wrong_server or status in (401, 403)
        self.status = status
        self.message = message
