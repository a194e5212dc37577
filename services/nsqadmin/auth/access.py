"""Who asks, and what they may do.

From a request come a `Viewer`: the user's name, role and address. Without ``--auth-file`` the name
is what the ACL header or Basic authentication say, and the role follows from ``--admin-user``, as
in the original. With it, only a session or Basic authentication against the file count, and who has
neither may do nothing. Headers that a proxy sets are believed from ``--trusted-proxy`` addresses
alone once there are any.
"""

import base64
import binascii
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

import attrs
from werkzeug.datastructures import Headers

from nsqadmin.auth.accounts import Role
from nsqadmin.options import Network, NsqadminOptions, parse_network
from nsqcore.addresses import host_of, is_literal, join_host_port

# What each action needs; whatever is not listed needs an admin.
_OPERATOR_ACTIONS = frozenset(("pause", "unpause", "empty", "create"))


@attrs.frozen
class Viewer:
    """Who sent a request. ``role`` is None for who has to log in first."""

    user: str
    role: Role | None
    address: str  # with its port where that is known
    scheme: str = "http"
    host: str = ""

    def may(self, action: str) -> bool:
        """Whether this user may do ``action``: ``pause``, ``delete``, ``read`` and so on."""
        if self.role is None:
            return False
        if action == "read":
            return True
        return self.role >= (Role.OPERATOR if action in _OPERATOR_ACTIONS else Role.ADMIN)


@attrs.frozen
class Peer:
    """The other end of a connection, and what is believed of the headers it sent."""

    address: str  # of the client, with its port where that is known
    scheme: str
    host: str
    believed: bool  # its X-Forwarded-* and ACL headers

    @property
    def ip(self) -> str:
        """The address without a port."""
        return host_of(self.address)


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """Name and password of an ``Authorization: Basic`` header."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    name, colon, password = decoded.partition(":")
    return (name, password) if colon else None


def find_peer(
    client: tuple[str, int] | None,
    scheme: str,
    headers: Headers,
    options: NsqadminOptions,
) -> Peer:
    """Who is at the other end of a connection, seen through trusted proxies.

    Args:
        client: address and port of the connection; None for a socket that has none.
    """
    direct = client[0] if client else ""
    shown = join_host_port(*client) if client else "local"
    host = headers.get("Host", "")
    networks = options.trusted_networks
    if not networks:
        secure = headers.get("X-Scheme") == "https"
        return Peer(shown, "https" if secure else scheme, host, believed=True)
    if not _inside(direct, networks):
        return Peer(shown, scheme, host, believed=False)
    hops = [hop.strip() for hop in headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    # From the right: the first that is no proxy of ours is the client; what stands left of it is
    # its own claim.
    for hop in reversed(hops):
        shown = hop
        if not _inside(hop, networks):
            break
    forwarded = headers.get("X-Forwarded-Proto") or headers.get("X-Scheme") or scheme
    return Peer(
        shown,
        "https" if forwarded.strip().lower() == "https" else "http",
        headers.get("X-Forwarded-Host") or host,
        believed=True,
    )


def header_viewer(peer: Peer, headers: Headers, options: NsqadminOptions) -> Viewer:
    """The viewer without ``--auth-file``: named by the ACL header or Basic authentication."""
    named = headers.get(options.acl_http_header, "") if peer.believed else ""
    credentials = basic_credentials(headers.get("Authorization", ""))
    user = named or (credentials[0] if credentials else "")
    # Nobody has checked the password of a Basic header here, so it names but never authorizes.
    admin = not options.admin_users or (bool(named) and named in options.admin_users)
    role = Role.ADMIN if admin else Role.VIEWER
    return Viewer(user, role, peer.address, peer.scheme, peer.host)


def may_configure(client: tuple[str, int] | None, peer: Peer, options: NsqadminOptions) -> bool:
    """Whether ``/config`` is open for who sent the request.

    Raises:
        ValueError: the address is none.
    """
    if not options.allow_config_from_cidr:
        return True
    network = parse_network(options.allow_config_from_cidr)
    if options.trusted_proxies:
        return _inside(peer.ip, [network])
    address = ipaddress.ip_address(client[0] if client else "")
    return _contains(network, address)


def same_origin(headers: Headers, peer: Peer) -> bool:
    """Whether a state-changing request comes from our own pages, or from no browser at all.

    Browsers tell where a request comes from: ``Sec-Fetch-Site`` (on HTTPS and localhost) and
    ``Origin`` (on every POST and DELETE). Scripts send neither.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("Origin")
    if origin is None:
        return True
    # The scheme may be a proxy's affair. X-Forwarded-Host is believed from anyone here: no page of
    # another site can make a browser send it.
    ours = {peer.host.lower(), headers.get("X-Forwarded-Host", "").lower()} - {""}
    return urlsplit(origin.lower()).netloc in ours


def is_meant_for_us(peer: Peer, options: NsqadminOptions) -> bool:
    """Whether a request names a host that is us.

    Who owns a name can have it point here after a browser has loaded a page from there, which is
    then of the same origin as we are (DNS rebinding). An address cannot be made to point elsewhere.
    """
    if not options.allowed_hosts:
        return True
    name = host_of(peer.host).lower().rstrip(".")
    if name == "localhost" or name in {host.lower().rstrip(".") for host in options.allowed_hosts}:
        return True
    return is_literal(name)


def _inside(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(host_of(address))
    except ValueError:
        return False
    return any(_contains(network, parsed) for network in networks)


def _contains(network: Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.version == network.version and address in network
