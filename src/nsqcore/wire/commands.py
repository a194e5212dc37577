"""Client-to-server commands, as values.

Hot commands are plural: a run of FINs, or of PUBs to one topic, is *one* value
carrying a list. The parser groups, the engine works on lists, and nothing in
between loops over single messages. PUB is an MPUB of one body.

RDY's count and REQ's delay stay text here: whether they are even looked at
depends on the session's state.
"""

from nsqcore.classes import define, frozen
from nsqcore.wire.errors import ProtocolError


@define(eq=False, repr=False)
class Publish:
    """A run of PUBs, or of MPUBs, to one topic; ``replies`` counts the commands in it."""

    topic: str
    bodies: list[bytes]
    replies: int
    many: bool


@define(eq=False, repr=False)
class PublishHeaded:
    """XPUB and XMPUB: each of ``bodies`` has its block of headers behind it
    (`nsqcore.wire.headers.with_block`). ``delay`` is in ms."""

    topic: str
    bodies: list[bytes]
    many: bool
    delay: int = 0


@frozen
class PublishDeferred:
    """DPUB: one body, to be delivered after ``delay`` ms."""

    topic: str
    body: bytes
    delay: int


@define
class Finish:
    """A run of FINs: the ids, 16 bytes each."""

    ids: list[bytes]


@define
class Requeue:
    """A run of REQs with one delay: give messages back, after ``delay`` (text, milliseconds)."""

    ids: list[bytes]
    delay: bytes


@define
class Terminate:
    """A run of TERMs with one reason: give messages up. ``ids`` and the ``words`` of the reason are
    as they came: whether they are looked at depends on what the client asked for."""

    ids: list[bytes]
    words: list[bytes]


@frozen
class Touch:
    """TOUCH: start a message's timeout anew."""

    id: bytes


@frozen
class Ready:
    """RDY: how many messages may be in flight; ``count`` is text, None where it was left out."""

    count: bytes | None


@frozen
class Subscribe:
    """SUB: become a consumer of a channel."""

    topic: str
    channel: str


@frozen
class Identify:
    """IDENTIFY with its JSON body, not yet decoded. Ends a batch."""

    body: bytes


@frozen
class Auth:
    """AUTH with its secret. Ends a batch."""

    secret: bytes


@frozen
class StartClose:
    """CLS: send no more messages."""


@frozen
class Nop:
    """NOP: a sign of life."""


@frozen
class CreateTopic:
    """The topic of an MPUB whose body turned out faulty: the topic comes to be all the same."""

    topic: str


@frozen
class ParseError:
    """Where the bytes stopped being the protocol. Always the last value.

    ``command`` is the name of the command it happened in, for the checks of
    state that come before it, ``topic`` what it publishes to, if it does; ``silent`` means close
    without an answer.
    """

    error: ProtocolError
    command: bytes = b""
    silent: bool = False
    topic: str = ""


Command = (
    Publish
    | PublishDeferred
    | PublishHeaded
    | Finish
    | Requeue
    | Terminate
    | Touch
    | Ready
    | Subscribe
    | Identify
    | Auth
    | StartClose
    | Nop
    | CreateTopic
    | ParseError
)
