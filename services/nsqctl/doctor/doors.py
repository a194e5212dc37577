"""Doors of a cluster that are open to everybody: HTTP, AUTH, registration, pages of other sites.

They are knocked at as a stranger does, who has neither token nor certificate; nothing is changed.
"""

import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterable

import trio

from nsqcore.addresses import AddressError, join_host_port, parse_host_port
from nsqcore.classes import Factory, define
from nsqcore.cluster.upstream import Probe, Upstream, UpstreamError
from nsqcore.json import JsonError, decode
from nsqcore.wire.client_commands import MAGIC_V2, identify
from nsqcore.wire.frames import ErrorFrame, FrameParser, Response

# A daemon that needs longer to answer is looked at by other checks; seconds.
TIMEOUT = 2.0
# A page that is certainly not one of a daemon's, and the name it would be reached by.
ELSEWHERE = "http://elsewhere.invalid"
READ_SIZE = 64 * 1024
# The protocol of nsqd to nsqlookupd: a registered nsqd keeps saying this, and so may others.
_PING, _OK = b"  V1PING\n", b"\0\0\0\x02OK"
_TLS = "tls://"


@define
class Doors:
    """Who was let in without a credential: addresses by the kind of door."""

    http: set[str] = Factory(set)  # everybody may do everything
    pages: set[str] = Factory(set)  # … pages of other sites, by a visitor's browser, too
    metrics: set[str] = Factory(set)  # everybody reads /metrics, and nothing else
    tcp: set[str] = Factory(set)  # clients that say no secret
    clear: set[str] = Factory(set)  # secrets and tokens are taken that were not encrypted
    weak: set[str] = Factory(set)  # TLS older than 1.2 is spoken
    registration: set[str] = Factory(set)  # whoever says to be an nsqd
    admin: set[str] = Factory(set)  # nsqadmins without a login


async def try_http(doors: Doors, stranger: Upstream, kind: str, address: str) -> None:
    """Knock at the HTTP of a daemon, which is an ``nsqd`` or an ``nsqlookupd``."""
    named = f"{kind} {address}"
    await try_old_tls(doors, named, address)
    try:
        status = (await stranger.probe(address, "/info")).status
        if status == 401:
            if not stranger.is_encrypted(address):
                doors.clear.add(named)
            if (await stranger.probe(address, "/metrics")).status == 200:
                doors.metrics.add(named)
        if status != 200:
            return
        doors.http.add(named)
        origin = {"Origin": ELSEWHERE}
        if (await stranger.probe(address, "/ping", headers=origin)).status == 200:
            doors.pages.add(named)
    except UpstreamError:
        return  # it is told of as one that does not answer


async def try_admin(doors: Doors, stranger: Upstream, address: str) -> None:
    """Knock at an nsqadmin, which is at ``address``. Raises UpstreamError."""
    probe: Probe = await stranger.probe(address, "/api/topics")
    named = f"nsqadmin {address}"
    if probe.status in (200, 502):  # 502: it was let in, and the cluster does not answer
        doors.admin.add(named)
    elif probe.status == 401 and not stranger.is_encrypted(address):
        doors.clear.add(named)
    await try_old_tls(doors, named, address)


async def try_old_tls(doors: Doors, named: str, address: str) -> None:
    """Knock with old TLS at ``address``, if it is an ``https://`` or ``tls://`` one."""
    scheme, _, rest = address.rpartition("://")
    if scheme in ("https", "tls"):
        host, port = parse_host_port(rest)
        if await _talk(host, port, None, _shake_hands):
            doors.weak.add(named)


async def try_tcp(doors: Doors, host: str, port: int) -> None:
    """Knock at the TCP port of an nsqd."""

    async def greet(stream: trio.abc.Stream) -> object:
        # to close what was not begun is an error, which names TLS first where that is required
        await stream.send_all(MAGIC_V2 + identify({"feature_negotiation": True}) + b"CLS\n")
        return await _frames(stream, 2)

    told = await _talk(host, port, None, greet)
    if not isinstance(told, list):
        return
    try:
        agreed = decode(told[0])
    except JsonError:
        return
    required = agreed.get("auth_required") if isinstance(agreed, dict) else None
    named = f"nsqd {join_host_port(host, port)}"
    if required is False:
        doors.tcp.add(named)
    elif required is True and b"TLS required" not in told[-1]:
        doors.clear.add(named)
    if await _talk(host, port, None, _speaks_old_tls):
        doors.weak.add(named)


async def _speaks_old_tls(stream: trio.abc.Stream) -> object:
    wish = identify({"feature_negotiation": True, "tls_v1": True})
    await stream.send_all(MAGIC_V2 + wish)
    told = await _frames(stream, 1)
    if not told or b'"tls_v1":true' not in told[0]:
        return False
    return await _shake_hands(stream)


async def _shake_hands(stream: trio.abc.Stream) -> object:
    """Raises OSError, BrokenResourceError: no version is old enough for us."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE  # nothing is said to anybody
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    await trio.SSLStream(stream, old).do_handshake()
    return True


async def try_registration(doors: Doors, address: str, tls: ssl.SSLContext) -> None:
    """Knock at the TCP port of an nsqlookupd; with ``tls`` if that is a ``tls://`` one."""
    try:
        host, port = parse_host_port(address.removeprefix(_TLS))
    except AddressError:
        return  # it is told of by whoever cannot register there

    async def ping(stream: trio.abc.Stream) -> object:
        await stream.send_all(_PING)
        return bytes(await stream.receive_some(READ_SIZE))

    await try_old_tls(doors, f"nsqlookupd {address}", address)
    secure = tls if address.startswith(_TLS) else None
    if await _talk(host, port, secure, ping) == _OK:
        doors.registration.add(f"nsqlookupd {address}")


def likely_registration(http_address: str) -> str:
    """Where an nsqlookupd probably listens for nsqds: one port below, as with the defaults."""
    host, port = parse_host_port(http_address.removeprefix("https://"))
    return join_host_port(host, port - 1)


async def registrations(upstream: Upstream, nsqds: Iterable[str]) -> set[str]:
    """The nsqlookupds that ``nsqds`` say to register at, where we may ask that."""
    found: set[str] = set()
    for nsqd in nsqds:
        try:
            probe = await upstream.probe(nsqd, "/config/nsqlookupd_tcp_addresses")
            told = decode(probe.body) if probe.status == 200 else []
        except (UpstreamError, JsonError):
            continue
        if isinstance(told, list):
            found |= {each for each in told if isinstance(each, str)}
    return found


async def _talk(
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    say: Callable[[trio.abc.Stream], Awaitable[object]],
) -> object:
    """What comes of ``say`` to a port; None where nobody understands, or wants us."""
    with trio.move_on_after(TIMEOUT):
        try:
            stream: trio.abc.Stream = await trio.open_tcp_stream(host, port)
            if tls is not None:
                stream = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
            async with stream:
                return await say(stream)
        except (OSError, ValueError, trio.BrokenResourceError):
            return None
    return None


async def _frames(stream: trio.abc.Stream, count: int) -> list[bytes] | None:
    """What the first ``count`` frames hold, of a peer that has as many to say."""
    parser, told = FrameParser(READ_SIZE), []
    while data := bytes(await stream.receive_some(READ_SIZE)):
        for frame in parser.feed(data):
            if not isinstance(frame, Response | ErrorFrame):
                return None
            told.append(bytes(frame.data))
        if len(told) >= count:
            return told
    return told or None


def listed(addresses: Iterable[str]) -> str:
    """Daemons in one line."""
    return ", ".join(sorted(addresses))
