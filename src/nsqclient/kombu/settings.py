"""What the address of a broker and the transport options come to, and what queues and tasks are."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from nsqclient.core.arguments import addresses
from nsqclient.core.options import ConnectionOptions
from nsqcore.classes import frozen
from nsqcore.names import is_valid_name

# nsqd defers no longer than its --max-req-timeout, an hour by default. What is due later is
# deferred again when it comes.
MAX_DEFER = 3600.0


def topic_of(queue: str, prefix: str = "") -> str:
    """The topic of a queue: its name, or one made of it where NSQ has no such names."""
    name = prefix + queue
    if is_valid_name(name) and "#" not in name:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return re.sub(r"[^.a-zA-Z0-9_-]", "_", name)[:47] + "-" + digest


def ephemeral(name: str, prefix: str = "") -> str:
    """The topic or channel of a broadcast, which nsqd forgets with its last consumer."""
    whole = f"{prefix}{name}#ephemeral"
    if "#" not in prefix + name and is_valid_name(whole):
        return whole
    digest = hashlib.sha256((prefix + name).encode()).hexdigest()[:16]
    return re.sub(r"[^.a-zA-Z0-9_-]", "_", prefix + name)[:37] + f"-{digest}#ephemeral"


@frozen
class Broadcast:
    """What a queue gets of an exchange that sends everything to everybody.

    ``key`` is the routing key of the messages that are meant for it; None is all.
    """

    exchange: str
    key: str | None = None


def is_for_replies(exchange: str) -> bool:
    """Whether who asked by remote control waits for answers there: kombu's mailboxes name it so."""
    return exchange.startswith("reply.") and exchange.endswith(".pidbox")


def due_in(payload: Mapping[str, Any], now: datetime) -> float:
    """In how many seconds a task is to run, by its header ``eta``; 0 if it has none."""
    eta = (payload.get("headers") or {}).get("eta")
    if not isinstance(eta, str):
        return 0.0
    try:
        due = datetime.fromisoformat(eta)
    except ValueError:
        return 0.0  # the worker complains of it
    return max(0.0, ((due if due.tzinfo else due.replace(tzinfo=UTC)) - now).total_seconds())


@frozen(kw_only=True)
class Settings:
    """What a URL and the transport options come to."""

    nsqd: list[str]
    lookupd: list[str]
    channel: str
    topic_prefix: str
    max_defer: float
    connect_timeout: float
    options: ConnectionOptions

    @classmethod
    def of(cls, client: Any) -> "Settings":
        """Those of a `kombu.Connection`. Raises ValueError or TypeError if they make no sense."""
        given = dict(client.transport_options or {})
        url = urlsplit(client.hostname or "nsq://127.0.0.1:4150")
        address = url.netloc.rpartition("@")[2] or "127.0.0.1"
        own: dict[str, list[str]] = {"nsq": [], "lookupd": []} | {url.scheme: [address]}
        options = given.get("options") or ConnectionOptions(
            auth_secret=unquote(url.password) if url.password else None, tls=bool(client.ssl)
        )
        return cls(
            nsqd=own["nsq"] + addresses(given.get("nsqd", ()), "nsqd"),
            lookupd=own["lookupd"] + addresses(given.get("lookupd", ()), "lookupd"),
            channel=given.get("channel", "kombu"),
            topic_prefix=given.get("topic_prefix", ""),
            max_defer=float(given.get("max_defer", MAX_DEFER)),
            connect_timeout=float(client.connect_timeout or 5.0),
            options=options,
        )
