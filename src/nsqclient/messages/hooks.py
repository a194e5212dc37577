"""Where metrics and tracing hook in.

Every hook is a plain function and is called from the event loop: it must not
block. One that raises is a bug of the caller's and ends what called it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from attrs import frozen

from nsqclient.messages.message import Message

Handling = Callable[[Message], AbstractContextManager[object]]


@frozen(kw_only=True)
class Hooks:
    """Functions to call when something happens; None is not called.

    Attributes:
        connected: with the address, after each successful handshake.
        disconnected: with the address and the reason, when a connection ends or cannot be made.
        published: with topic, number of messages, seconds, and error or None, after each publish.
        received: with the messages of a chunk.
        answered: with a message that was finished, requeued or has expired (see its ``state``).
        backed_off: with the level of backing off, whenever it changes; 0 is none.
        handling: gives a context manager wrapped round the handling of each message, by
            `Consumer.run` and `Message.process`: the place for a trace's span.
    """

    connected: Callable[[str], None] | None = None
    disconnected: Callable[[str, Exception], None] | None = None
    published: Callable[[str, int, float, Exception | None], None] | None = None
    received: Callable[[list[Message]], None] | None = None
    answered: Callable[[Message], None] | None = None
    backed_off: Callable[[int], None] | None = None
    handling: Handling | None = None
