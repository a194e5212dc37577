"""What a connection asks of nsqd, and how long the client waits for things.

Durations are seconds or `datetime.timedelta`, sizes are bytes.
"""

import platform
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol

from attrs import field, frozen

from nsqclient.core.arguments import (
    Duration,
    Secret,
    checked,
    function,
    seconds,
    secret,
    switch,
    text,
    whole,
)
from nsqcore.app.process.version import release


class Stream(Protocol):
    """A stream of bytes; anyio's streams are, and so are the ones of `nsqd.testing`."""

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        """The next bytes, at least one; raises `anyio.EndOfStream` at the end."""

    async def send(self, item: bytes, /) -> None:
        """Send all of ``item``."""

    async def aclose(self) -> None:
        """Close at once."""


Dial = Callable[[str], Awaitable[Stream]]


@frozen(kw_only=True)
class ConnectionOptions:
    """Settings of every connection to an nsqd.

    Attributes:
        client_id: a short name of this client, as nsqd's statistics show it; default: the host's.
        hostname: the name of this host, as nsqd's statistics show it.
        user_agent: name and version of the program.
        topology_region, topology_zone: where this client is, for an nsqd that prefers near ones.
        tls: True for TLS checked against the system's authorities, or a context of your own.
        deflate: compress with deflate at this level (1 to 9); 0 is off.
        snappy: compress with snappy. Not together with deflate.
        auth_secret: sent by AUTH where nsqd asks for it, and to nsqlookupd; or a function that
            gives it, called each time, so that it may change.
        lookupd_authorization: whether nsqlookupds get the secret, as ``Authorization: Bearer``.
        sample_rate: receive only this percentage of the messages (1 to 99); 0 is all of them.
        msg_timeout: how long nsqd waits for an answer to a message; None is nsqd's own setting.
        heartbeat_interval: how often nsqd asks for a sign of life.
        output_buffer_size: bytes nsqd gathers before it sends; None is nsqd's own setting.
        output_buffer_timeout: how long nsqd may gather; None is nsqd's own setting.
        connect_timeout: for everything up to a usable connection, name lookup and TLS included.
        max_reconnect_delay: the longest wait between two attempts to connect.
        dial: opens the stream to an address; default: TCP or a Unix socket.
    """

    client_id: str | None = field(default=None, validator=checked(text, optional=True))
    hostname: str | None = field(default=None, validator=checked(text, optional=True))
    user_agent: str = field(factory=lambda: f"nsq-trio/{release()}", validator=checked(text))
    topology_region: str = field(default="", validator=checked(text))
    topology_zone: str = field(default="", validator=checked(text))
    tls: bool | ssl.SSLContext = False
    deflate: int = field(default=0, validator=checked(whole, highest=9))
    snappy: bool = field(default=False, validator=checked(switch))
    auth_secret: Secret | None = field(
        default=None, repr=False, validator=checked(secret, optional=True)
    )
    lookupd_authorization: bool = field(default=True, validator=checked(switch))
    sample_rate: int = field(default=0, validator=checked(whole, highest=99))
    msg_timeout: Duration | None = field(
        default=None, validator=checked(seconds, optional=True, lowest=0.001)
    )
    heartbeat_interval: Duration = field(default=30.0, validator=checked(seconds, lowest=0.001))
    output_buffer_size: int | None = field(
        default=None, validator=checked(whole, optional=True, lowest=-1)
    )
    output_buffer_timeout: Duration | None = field(
        default=None, validator=checked(seconds, optional=True, lowest=-0.001)
    )
    connect_timeout: Duration = field(default=5.0, validator=checked(seconds, above=True))
    max_reconnect_delay: Duration = field(default=30.0, validator=checked(seconds, above=True))
    dial: Dial | None = field(default=None, validator=checked(function, optional=True))

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.tls, bool | ssl.SSLContext):
            raise TypeError(f"tls is True, False or an SSLContext, not {type(self.tls).__name__}")
        if self.snappy and self.deflate:
            raise ValueError("a connection is compressed with snappy or with deflate, not both")

    def identify(self) -> dict[str, object]:
        """The fields of IDENTIFY (TCP protocol spec, "IDENTIFY"); durations in ms there."""
        host = self.hostname or platform.node() or "localhost"
        fields: dict[str, object] = {
            "client_id": self.client_id or host.partition(".")[0],
            "hostname": host,
            "user_agent": self.user_agent,
            "feature_negotiation": True,
            "heartbeat_interval": milliseconds(self.heartbeat_interval),
            "tls_v1": bool(self.tls),
            "deflate": bool(self.deflate),
            "snappy": self.snappy,
            "sample_rate": self.sample_rate,
            # what the original does not know, it ignores
            "headers": True,
            "terminate": True,
        }
        if self.deflate:
            fields["deflate_level"] = self.deflate
        if self.topology_region:
            fields["topology_region"] = self.topology_region
        if self.topology_zone:
            fields["topology_zone"] = self.topology_zone
        if self.msg_timeout is not None:
            fields["msg_timeout"] = milliseconds(self.msg_timeout)
        if self.output_buffer_size is not None:
            fields["output_buffer_size"] = self.output_buffer_size
        if self.output_buffer_timeout is not None:
            fields["output_buffer_timeout"] = milliseconds(self.output_buffer_timeout)
        return fields


def milliseconds(duration: Duration) -> int:
    """``duration`` as the protocol has it: whole milliseconds, rounded."""
    return round(in_seconds(duration) * 1000)


def in_seconds(duration: Duration) -> float:
    """``duration``, checked before, in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
