"""IDENTIFY: what a client says of itself, what it asks for, and the answer.

The body is a JSON object; keys this server does not know are ignored, a known one
of the wrong type fails the whole (spec: "IDENTIFY"). Times here are milliseconds,
as on the wire.
"""

import json
from typing import Any

from attrs import astuple, frozen

from nsqcore.json import JsonError, decode_folded
from nsqcore.readers import clean_text
from nsqcore.wire.errors import BadBody, IdentifyFailed


@frozen(kw_only=True)
class Limits:
    """What a server allows a client to ask for. Times in ms, sizes in bytes."""

    max_heartbeat_interval: int = 60_000
    max_output_buffer_size: int = 64 * 1024
    min_output_buffer_timeout: int = 25
    max_output_buffer_timeout: int = 30_000
    output_buffer_timeout: int = 250
    msg_timeout: int = 60_000
    max_msg_timeout: int = 900_000
    max_rdy_count: int = 2500
    tls: bool = False
    deflate: bool = True
    max_deflate_level: int = 6
    snappy: bool = True
    auth_required: bool = False
    topology_region: str = ""
    topology_zone: str = ""
    version: str = ""


@frozen(kw_only=True)
class Request:
    """The fields of an IDENTIFY body, with their defaults."""

    client_id: str = ""
    hostname: str = ""
    heartbeat_interval: int = 0
    output_buffer_size: int = 0
    output_buffer_timeout: int = 0
    feature_negotiation: bool = False
    tls_v1: bool = False
    deflate: bool = False
    deflate_level: int = 0
    snappy: bool = False
    sample_rate: int = 0
    user_agent: str = ""
    msg_timeout: int = 0
    topology_region: str = ""
    topology_zone: str = ""

    def __str__(self) -> str:
        """As the original's log has it: ``{ClientID:me Hostname:here …}``."""
        values = zip(_LOGGED, astuple(self), strict=True)
        return f"{{{' '.join(f'{name}:{_logged(value)}' for name, value in values)}}}"


_LOGGED = (
    "ClientID",
    "Hostname",
    "HeartbeatInterval",
    "OutputBufferSize",
    "OutputBufferTimeout",
    "FeatureNegotiation",
    "TLSv1",
    "Deflate",
    "DeflateLevel",
    "Snappy",
    "SampleRate",
    "UserAgent",
    "MsgTimeout",
    "TopologyRegion",
    "TopologyZone",
)


def _logged(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@frozen(kw_only=True)
class Identity:
    """Who a client is and what was agreed with it. Times in ms; 0 is off."""

    client_id: str
    hostname: str
    user_agent: str = ""
    heartbeat_interval: int = 30_000
    output_buffer_size: int = 16 * 1024
    output_buffer_timeout: int = 250
    msg_timeout: int = 60_000
    sample_rate: int = 0
    topology_region: str = ""
    topology_zone: str = ""
    tls: bool = False
    deflate: bool = False
    deflate_level: int = 0
    snappy: bool = False


_KNOWN: dict[str, type] = dict(Request.__annotations__)


def parse_request(body: bytes) -> Request:
    """The request in an IDENTIFY's body. Raises BadBody."""
    try:
        decoded = decode_folded(body)
    except JsonError as error:
        raise BadBody("IDENTIFY failed to decode JSON body") from error
    if decoded is None:
        return Request()
    if not isinstance(decoded, dict):
        raise BadBody("IDENTIFY failed to decode JSON body")
    values: dict[str, Any] = {}
    for key, value in decoded.items():
        kind = _KNOWN.get(key)
        if kind is None or value is None:
            continue
        bound = 2**31 if key == "sample_rate" else 2**63
        if type(value) is not kind or (isinstance(value, int) and not -bound <= value < bound):
            raise BadBody("IDENTIFY failed to decode JSON body")
        values[key] = clean_text(value) if isinstance(value, str) else value
    return Request(**values)


def negotiate(request: Request, identity: Identity, limits: Limits) -> Identity:
    """What ``identity`` becomes by ``request``. Raises BadBody, IdentifyFailed."""
    features = request.feature_negotiation
    deflate = features and limits.deflate and request.deflate
    snappy = features and limits.snappy and request.snappy
    level = request.deflate_level if deflate and request.deflate_level > 0 else 6
    agreed = Identity(
        client_id=request.client_id,
        hostname=request.hostname,
        user_agent=request.user_agent,
        topology_region=request.topology_region,
        topology_zone=request.topology_zone,
        heartbeat_interval=_heartbeat(request, identity, limits),
        output_buffer_timeout=_buffer_timeout(request, identity, limits),
        output_buffer_size=_buffer_size(request, identity, limits),
        sample_rate=_sample_rate(request),
        msg_timeout=_msg_timeout(request, identity, limits),
        tls=features and limits.tls and request.tls_v1,
        deflate=deflate,
        deflate_level=min(level, limits.max_deflate_level) if features else identity.deflate_level,
        snappy=snappy,
    )
    if deflate and snappy:
        raise IdentifyFailed("cannot enable both deflate and snappy compression")
    return agreed


def reply(identity: Identity, limits: Limits) -> bytes:
    """The JSON answer to an IDENTIFY with ``feature_negotiation``."""
    return json.dumps(
        {
            "max_rdy_count": limits.max_rdy_count,
            "version": limits.version,
            "max_msg_timeout": limits.max_msg_timeout,
            "msg_timeout": identity.msg_timeout,
            "tls_v1": identity.tls,
            "deflate": identity.deflate,
            "deflate_level": identity.deflate_level,
            "max_deflate_level": limits.max_deflate_level,
            "snappy": identity.snappy,
            "sample_rate": identity.sample_rate,
            "auth_required": limits.auth_required,
            "output_buffer_size": identity.output_buffer_size,
            "output_buffer_timeout": identity.output_buffer_timeout,
            "topology_region": limits.topology_region,
            "topology_zone": limits.topology_zone,
        },
        separators=(",", ":"),
    ).encode()


def _agreed(what: str, wanted: int, now: int, bounds: tuple[int, int], off: int | None) -> int:
    """``wanted`` if it is within ``bounds``; 0 leaves what is ``now``, -1 switches ``off``."""
    if wanted == 0:
        return now
    if wanted == -1 and off is not None:
        return off
    low, high = bounds
    if not low <= wanted <= high:
        raise BadBody(f"IDENTIFY {what} ({wanted}) is invalid")
    return wanted


def _heartbeat(request: Request, identity: Identity, limits: Limits) -> int:
    bounds = 1000, limits.max_heartbeat_interval
    now = identity.heartbeat_interval
    return _agreed("heartbeat interval", request.heartbeat_interval, now, bounds, off=0)


def _buffer_size(request: Request, identity: Identity, limits: Limits) -> int:
    bounds = 64, limits.max_output_buffer_size
    now = identity.output_buffer_size
    return _agreed("output buffer size", request.output_buffer_size, now, bounds, off=1)


def _buffer_timeout(request: Request, identity: Identity, limits: Limits) -> int:
    bounds = limits.min_output_buffer_timeout, limits.max_output_buffer_timeout
    now = identity.output_buffer_timeout
    agreed = _agreed("output buffer timeout", request.output_buffer_timeout, now, bounds, off=0)
    # without a buffer there is nothing to time
    return 0 if request.output_buffer_size == -1 else agreed


def _sample_rate(request: Request) -> int:
    return _agreed("sample rate", request.sample_rate, 0, (1, 99), off=None)


def _msg_timeout(request: Request, identity: Identity, limits: Limits) -> int:
    bounds = 1000, limits.max_msg_timeout
    return _agreed("msg timeout", request.msg_timeout, identity.msg_timeout, bounds, off=None)
