"""Where metrics and tracing hook in.

Every hook is a plain function and is called from the event loop (``handling``
of `nsqclient.sync`: in the thread of the handler): it must not block. What one
raises is logged, and changes nothing: messages and connections go on.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from attrs import fields

from nsqclient.core.arguments import function
from nsqclient.core.log import RateLimited
from nsqclient.messages.message import Message
from nsqcore.classes import field, frozen

Handling = Callable[[Message], AbstractContextManager[object]]
Publishing = Callable[
    [str, int, Mapping[str, str]], AbstractContextManager[Mapping[str, str] | None]
]


@frozen(kw_only=True)
class Hooks:
    """Functions to call when something happens; None is not called.

    Attributes:
        connected: with the address, after each successful handshake.
        disconnected: with the address and the reason, when a connection ends or cannot be made.
        published: with topic, number of messages, seconds, and error or None, after each publish.
        publishing: with topic, number of messages and their headers; gives a context manager
            wrapped round each publish. The headers that it gives when it is entered are sent in
            place of those, unless it gives None, or what cannot be sent.
        received: with the messages of a chunk.
        answered: with a message that was finished, requeued or has expired (see its ``state``).
        backed_off: with the level of backing off, whenever it changes; 0 is none.
        gave_up: with a message that ``on_give_up`` has dealt with (see `open_consumer`).
        handling: gives a context manager wrapped round the handling of each message and its
            answer, by `Consumer.run`, `Message.process` and `Batch.process`: the place for a
            trace's span. What it returns when it is left does not matter.
    """

    connected: Callable[[str], None] | None = None
    disconnected: Callable[[str, Exception], None] | None = None
    published: Callable[[str, int, float, Exception | None], None] | None = None
    publishing: Publishing | None = None
    received: Callable[[list[Message]], None] | None = None
    answered: Callable[[Message], None] | None = None
    backed_off: Callable[[int], None] | None = None
    gave_up: Callable[[Message], None] | None = None
    handling: Handling | None = None
    _failed: RateLimited = field(
        init=False,
        repr=False,
        eq=False,
        factory=lambda: RateLimited("nsqclient: the hook %s failed: %r"),
    )

    def __attrs_post_init__(self) -> None:
        for attribute in fields(Hooks):
            if attribute.init and getattr(self, attribute.name) is not None:
                function(getattr(self, attribute.name), attribute.name)

    def call(self, name: str, *args: object) -> None:
        """Call a hook, if it is there."""
        hook = getattr(self, name)
        if hook is not None:
            try:
                hook(*args)
            except Exception as error:
                self._failed.warning(name, error, exc_info=error)
