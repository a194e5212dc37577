"""IDENTIFY: what a client says of itself, what it asks for, and the answer.

The body is a JSON object; keys this server does not know are ignored, a known one
of the wrong type fails the whole (spec: "IDENTIFY"). Times here are milliseconds,
as on the wire.
"""

import json
from typing import Any

from nsqcore.classes import frozen
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
class IdentifyRequest:
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
    headers: bool = False
    terminate: bool = False
    soft_errors: bool = False

    def __str__(self) -> str:
        """As the original's log has it: ``{ClientID:me Hostname:here …}``."""
        return (
            f"{{ClientID:{self.client_id} Hostname:{self.hostname}"
            f" HeartbeatInterval:{self.heartbeat_interval}"
            f" OutputBufferSize:{self.output_buffer_size}"
            f" OutputBufferTimeout:{self.output_buffer_timeout}"
            f" FeatureNegotiation:{_WORDS[self.feature_negotiation]}"
            f" TLSv1:{_WORDS[self.tls_v1]} Deflate:{_WORDS[self.deflate]}"
            f" DeflateLevel:{self.deflate_level} Snappy:{_WORDS[self.snappy]}"
            f" SampleRate:{self.sample_rate} UserAgent:{self.user_agent}"
            f" MsgTimeout:{self.msg_timeout} TopologyRegion:{self.topology_region}"
            f" TopologyZone:{self.topology_zone}}}"
        )


# As the log has what is false or true.
_WORDS = ("false", "true")


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
    headers: bool = False
    terminate: bool = False
    soft_errors: bool = False


# What the original does not know: a client that means something else by such a key gets nothing.
EXTENSIONS = ("headers", "terminate", "soft_errors")

_KNOWN: dict[str, type] = {
    name: kind for name, kind in IdentifyRequest.__annotations__.items() if name not in EXTENSIONS
}


def parse_request(body: bytes) -> IdentifyRequest:
    """The request in an IDENTIFY's body. Raises BadBody."""
    try:
        decoded = decode_folded(body)
    except JsonError as error:
        raise BadBody("IDENTIFY failed to decode JSON body") from error
    if decoded is None:
        return IdentifyRequest()
    if not isinstance(decoded, dict):
        raise BadBody("IDENTIFY failed to decode JSON body")
    values: dict[str, Any] = {}
    for key, value in decoded.items():
        kind, found = _KNOWN.get(key), type(value)
        if kind is None or value is None:
            continue
        if found is not kind:
            raise BadBody("IDENTIFY failed to decode JSON body")
        if kind is str:
            value = clean_text(value)
        elif kind is int:
            bound = 2**31 if key == "sample_rate" else 2**63
            if not -bound <= value < bound:
                raise BadBody("IDENTIFY failed to decode JSON body")
        values[key] = value
    for key in EXTENSIONS:
        if decoded.get(key) is True:
            values[key] = True
    return IdentifyRequest(**values)


def negotiate(request: IdentifyRequest, identity: Identity, limits: Limits) -> Identity:
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
        headers=features and request.headers,
        terminate=features and request.terminate,
        soft_errors=features and request.soft_errors,
    )
    if deflate and snappy:
        raise IdentifyFailed("cannot enable both deflate and snappy compression")
    return agreed


def reply(identity: Identity, limits: Limits) -> bytes:
    """The JSON answer to an IDENTIFY with ``feature_negotiation``.

    What the original does not know is in it only if it was asked for.
    """
    extensions = {name: True for name in EXTENSIONS if getattr(identity, name)}
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
            **extensions,
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


def _heartbeat(request: IdentifyRequest, identity: Identity, limits: Limits) -> int:
    bounds = 1000, limits.max_heartbeat_interval
    now = identity.heartbeat_interval
    return _agreed("heartbeat interval", request.heartbeat_interval, now, bounds, off=0)


def _buffer_size(request: IdentifyRequest, identity: Identity, limits: Limits) -> int:
    bounds = 64, limits.max_output_buffer_size
    now = identity.output_buffer_size
    return _agreed("output buffer size", request.output_buffer_size, now, bounds, off=1)


def _buffer_timeout(request: IdentifyRequest, identity: Identity, limits: Limits) -> int:
    bounds = limits.min_output_buffer_timeout, limits.max_output_buffer_timeout
    now = identity.output_buffer_timeout
    agreed = _agreed("output buffer timeout", request.output_buffer_timeout, now, bounds, off=0)
    # without a buffer there is nothing to time
    return 0 if request.output_buffer_size == -1 else agreed


def _sample_rate(request: IdentifyRequest) -> int:
    return _agreed("sample rate", request.sample_rate, 0, (1, 99), off=None)


def _msg_timeout(request: IdentifyRequest, identity: Identity, limits: Limits) -> int:
    bounds = 1000, limits.max_msg_timeout
    return _agreed("msg timeout", request.msg_timeout, identity.msg_timeout, bounds, off=None)
