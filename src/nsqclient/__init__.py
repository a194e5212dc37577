"""A client for NSQ that runs under trio and asyncio.

Start with `open_producer` and `open_consumer`. Times are seconds, bodies are
bytes, errors are `ClientError`s, timeouts are cancel scopes, and nothing runs
outside the ``async with`` that opened it.

`nsqclient.sync` is the same for programs without an event loop, `nsqd.testing`
an nsqd inside the test's process.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        Overloaded,
        ProtocolError,
        PublishError,
    )
    from nsqclient.core.lifetime import Health
    from nsqclient.core.options import ConnectionOptions
    from nsqclient.http.lookupd import LookupdHttp
    from nsqclient.http.nsqd import NsqdHttp
    from nsqclient.messages.hooks import Hooks
    from nsqclient.messages.message import Message, State
    from nsqclient.publishing.opening import open_producer
    from nsqclient.publishing.producer import Producer

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
    "Health",
    "Hooks",
    "HttpError",
    "LookupdHttp",
    "Message",
    "MessageExpired",
    "NsqdHttp",
    "Overloaded",
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

# What a program does not use is not imported: a producer has no need of consumers, and the whole
# takes a tenth of a second and more.
_PLACES = {
    "AlreadyAnswered": "nsqclient.core.errors",
    "AuthFailed": "nsqclient.core.errors",
    "Batch": "nsqclient.consuming.batches",
    "ClientError": "nsqclient.core.errors",
    "Closed": "nsqclient.core.errors",
    "ConnectionLost": "nsqclient.core.errors",
    "ConnectionOptions": "nsqclient.core.options",
    "Consumer": "nsqclient.consuming.consumer",
    "ConsumerStats": "nsqclient.consuming.consumer",
    "Health": "nsqclient.core.lifetime",
    "Hooks": "nsqclient.messages.hooks",
    "HttpError": "nsqclient.core.errors",
    "LookupdHttp": "nsqclient.http.lookupd",
    "Message": "nsqclient.messages.message",
    "MessageExpired": "nsqclient.core.errors",
    "NsqdHttp": "nsqclient.http.nsqd",
    "Overloaded": "nsqclient.core.errors",
    "Producer": "nsqclient.publishing.producer",
    "ProtocolError": "nsqclient.core.errors",
    "PublishError": "nsqclient.core.errors",
    "State": "nsqclient.messages.message",
    "archive": "nsqclient.consuming.max_attempts",
    "by_rate": "nsqclient.consuming.rdy",
    "dead_letter": "nsqclient.consuming.max_attempts",
    "drop": "nsqclient.consuming.max_attempts",
    "equal": "nsqclient.consuming.rdy",
    "open_consumer": "nsqclient.consuming.opening",
    "open_producer": "nsqclient.publishing.opening",
}

# Loaded when they are first asked for; some need an extra of the package.
_MODULES = frozenset({"codecs", "kombu", "prometheus", "sync", "taskiq", "testing"})


def __getattr__(name: str) -> Any:
    """A name of `__all__` or one of the modules, imported when it is first asked for."""
    if name in _MODULES:
        return import_module(f"nsqclient.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
