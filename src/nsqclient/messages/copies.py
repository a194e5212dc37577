"""The same message from two nsqds: what a producer with ``copies=2`` publishes, handled once.

All copies have one key in their headers, where nsqd and the topic keep headers. A copy that comes
when another was finished here is finished unseen; one that comes while another is open here waits
at nsqd. So one copy may be lost with its nsqd, and the message is still handled. What another
consumer of the channel has finished is not known here: then it is handled twice.
"""

from collections import OrderedDict
from hashlib import blake2b

from nsqclient.core.errors import MessageExpired
from nsqclient.messages.message import Message, State
from nsqcore.classes import Factory, define
from nsqcore.wire.headers import MARK

COPY_KEY = "copy-key"
"""The header that all copies of a message share."""

# Keys of finished messages that are remembered: a second copy comes soon after the first, unless
# its nsqd is down. About 100 bytes each.
REMEMBERED = 100_000

# How long (s) a copy waits at nsqd before it is looked at again, while another is open here.
WAIT = 1.0

_DONE = (State.FINISHED, State.TERMINATED, State.GIVEN_UP)


def copy_id(message: Message) -> tuple[str, bytes] | None:
    """What all copies of ``message`` have in common; None if it was published once."""
    if not message.record[8] & MARK:
        return None
    key = message.headers.get(COPY_KEY)
    # Messages that were published together have one key.
    return None if key is None else (key, blake2b(message.body, digest_size=16).digest())


@define(eq=False, repr=False)
class Copies:
    """Which messages with copies are open here, and which were finished."""

    open: dict[tuple[str, bytes], Message] = Factory(dict)
    _done: OrderedDict[tuple[str, bytes], None] = Factory(OrderedDict)

    def first_ones(self, messages: list[Message]) -> list[Message]:
        """Those to be handled; the others of ``messages`` are answered."""
        wanted = []
        for message in messages:
            identity = copy_id(message)
            if identity is None or self._is_first(identity, message):
                wanted.append(message)
        return wanted

    def closed(self, message: Message) -> None:
        """Note that a message has its answer, or has expired."""
        identity = copy_id(message)
        if identity is None or self.open.get(identity) is not message:
            return
        del self.open[identity]
        if message.state in _DONE:
            self._done[identity] = None
            if len(self._done) > REMEMBERED:
                self._done.popitem(last=False)

    def _is_first(self, identity: tuple[str, bytes], message: Message) -> bool:
        other = self.open.get(identity)
        if identity not in self._done and (other is None or other.place == message.place):
            self.open[identity] = message
            return True
        try:
            if other is None:
                message.finish_nowait()
            else:
                message.requeue_nowait(WAIT, backoff=False)
        except MessageExpired:
            pass  # its connection has just broken: it comes again
        return False
