"""A client for NSQ that runs under trio and asyncio.

Start with `open_producer` and `open_consumer`. Times are seconds, bodies are
bytes, errors are `ClientError`s, timeouts are cancel scopes, and nothing runs
outside the ``async with`` that opened it.

`nsqclient.sync` is the same for programs without an event loop, `nsqd.testing`
an nsqd inside the test's process.
"""

from importlib import import_module
from types import ModuleType

from nsqclient.consuming.batches import Batch
from nsqclient.consuming.consumer import Consumer, ConsumerStats
from nsqclient.consuming.max_attempts import archive, dead_letter, drop
from nsqclient.consuming.opening import open_consumer
from nsqclient.consuming.rdy import by_rate, equal
from nsqclient.core.errors import (
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
from nsqclient.core.options import ConnectionOptions
from nsqclient.http.lookupd import LookupdHttp
from nsqclient.http.nsqd import NsqdHttp
from nsqclient.messages.hooks import Hooks
from nsqclient.messages.message import Message, State
from nsqclient.publishing.producer import Producer, open_producer

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


def __getattr__(name: str) -> ModuleType:
    """`nsqclient.sync` and `nsqclient.testing`, loaded when they are first asked for."""
    if name in ("sync", "testing"):
        return import_module(f"nsqclient.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
