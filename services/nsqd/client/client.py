"""What nsqd knows of one V2 client. State only: `dispatch` changes it."""

from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any, Protocol

from nsqcore import addresses
from nsqcore.classes import Factory, define, field, frozen
from nsqcore.net.effects import Effect, Peer
from nsqcore.net.outbox import Outbox
from nsqcore.wire.commands import Command
from nsqcore.wire.identify import Identity, Limits
from nsqd.client.permissions import Permissions
from nsqd.engine.broker import Broker
from nsqd.engine.channel import Channel
from nsqd.engine.delivery.consumer import Consumer


class State(IntEnum):
    """Where a client is; the numbers are those of /stats."""

    INIT = 0
    DISCONNECTED = 1
    CONNECTED = 2
    SUBSCRIBED = 3
    CLOSING = 4


@frozen(kw_only=True)
class ClientSettings:
    """What a session needs to know of nsqd's options. Sizes are bytes, times ns."""

    limits: Limits
    max_msg_size: int = 1024 * 1024
    max_body_size: int = 5 * 1024 * 1024
    max_req_timeout: int = 3_600_000_000_000
    max_defer_timeout: int = 3_600_000_000_000
    max_msg_timeout: int = 900_000_000_000
    tls_required: bool = False


@frozen
class UpgradeNow:
    """What a command returns to have the stream under its session upgraded."""


@frozen
class AuthorizeNow:
    """What a command returns to have the auth servers asked what its client may do."""


@frozen
class OthersFirst:
    """What a command returns to have other clients served before those behind it."""


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Forget it."""


def _always() -> bool:
    return True


async def _at_once() -> None:
    """There is nobody else."""


@frozen(eq=False, kw_only=True)
class Services:
    """What all clients of one nsqd share.

    ``authorize`` asks the auth servers and leaves with the client what they said;
    ``upgrade`` says how a session's connection is upgraded. ``request_tick`` has
    another tick ended, ``others_first`` returns when all others had their turn. ``may_subscribe``
    says whether SUB makes sense where the clients came in.
    """

    broker: Broker
    settings: ClientSettings
    now: Callable[[], int]
    call_at: Callable[[int, Callable[[], None]], Timer]
    upgrade: Callable[[Any], Effect | None]
    authorize: Callable[["Client"], Awaitable[None]]
    request_tick: Callable[[], None]
    others_first: Callable[[], Awaitable[None]] = _at_once
    may_subscribe: Callable[[], bool] = _always


@frozen(kw_only=True)
class TlsState:
    """What /stats tells of a client's TLS."""

    version: str
    cipher_suite: str
    negotiated_protocol: str = ""
    negotiated_protocol_is_mutual: bool = False
    common_name: str = ""
    verified_names: tuple[str, ...] = ()


@define(eq=False, repr=False)
class Client:
    """One connected client. ``connected_at`` is wall-clock ns."""

    services: Services
    peer: Peer
    connected_at: int
    identity: Identity
    outbox: Outbox = Factory(Outbox)
    state: State = State.INIT
    identified: bool = False
    tls: TlsState | None = None
    refused: int = 0  # in the second `refused_in` of the monotonic clock, and not fatally
    refused_in: int = 0
    compressed: bool = False  # it was told that its bytes travel compressed from here on
    secret: bytes | None = None  # of the AUTH that was sent
    permissions: Permissions | None = None
    authed: bool = False  # the AUTH was answered
    auth_failure: str = ""  # why there are no permissions
    channel: Channel | None = None
    consumer: Consumer | None = None
    pub_counts: dict[str, int] = field(factory=dict)  # messages by topic
    pending: list[Command] = Factory(list)  # commands behind one that waits for I/O

    @property
    def name(self) -> str:
        """The client's address, as log lines show it."""
        return self.peer.address

    @property
    def host(self) -> str:
        """The address without its port."""
        return host_of(self.peer)


def host_of(peer: Peer) -> str:
    """The address of ``peer`` without port and brackets; empty for a Unix socket."""
    return "" if addresses.is_unix(peer.address) else addresses.host_of(peer.address)
