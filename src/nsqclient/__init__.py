"""A client for NSQ that runs under trio and asyncio.

Start with `open_producer` and `open_consumer`. Times are seconds, bodies are
bytes, errors are `ClientError`s, timeouts are cancel scopes, and nothing runs
outside the ``async with`` that opened it.

`nsqclient.sync` is the same for programs without an event loop,
`nsqclient.testing` an nsqd inside the test's process.
"""

from nsqclient.batches import Batch
from nsqclient.config import ConnectionOptions
from nsqclient.consumer import Consumer, ConsumerStats, open_consumer
from nsqclient.errors import (
    AlreadyAnswered,
    AuthFailed,
    ClientError,
    Closed,
    ConnectionLost,
    HttpError,
    MessageExpired,
    ProtocolError,
    PublishError,
)
from nsqclient.giveup import archive, dead_letter, drop
from nsqclient.hooks import Hooks
from nsqclient.http import LookupdHttp, NsqdHttp
from nsqclient.message import Message, State
from nsqclient.producer import Producer, open_producer
from nsqclient.ready import by_rate, equal

__all__ = [
    "AlreadyAnswered",
    "AuthFailed",
    "Batch",
    "ClientError",
    "Closed",
    "ConnectionLost",
    "ConnectionOptions",
    "Consumer",
    "ConsumerStats",
    "Hooks",
    "HttpError",
    "LookupdHttp",
    "Message",
    "MessageExpired",
    "NsqdHttp",
    "Producer",
    "ProtocolError",
    "PublishError",
    "State",
    "archive",
    "by_rate",
    "dead_letter",
    "drop",
    "equal",
    "open_consumer",
    "open_producer",
]
