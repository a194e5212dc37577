"""The other end of a connection, seen through trusted proxies.

Headers that a proxy sets are trusted from ``--trusted-proxy`` addresses alone once there are any.
``X-Forwarded-For`` is a list: a proxy adds to it by a comma or by a line of its own (HAProxy), so
all lines are read as one (RFC 9110, 5.3). Headers with one value that come twice are refused
(`check_headers`): what a client sent itself must not pass for what the proxy says. Hypercorn's and
werkzeug's proxy middlewares count hops instead of looking at addresses, and trust anybody who
reaches the port directly.
"""

import ipaddress

from werkzeug.datastructures import Headers

from nsqadmin.auth.networks import contains, is_inside, parse_ip
from nsqadmin.auth.refused import Refused
from nsqadmin.config.options import NsqadminOptions, parse_network
from nsqcore.addresses import host_of, join_host_port
from nsqcore.classes import frozen

# Which of several would count differs from one server to the next (RFC 9110, 5.3).
_SINGLE = (
    "Authorization", "Content-Type", "Host", "Origin", "Sec-Fetch-Site", "X-Forwarded-Host",
    "X-Forwarded-Proto", "X-Scheme",
)  # fmt: skip


@frozen
class Peer:
    """The other end of a connection, and whether its X-Forwarded-* and ACL headers are trusted."""

    address: str  # of the client, with its port where that is known
    scheme: str
    host: str
    trusted: bool

    @property
    def ip(self) -> str:
        """The address without a port."""
        return host_of(self.address)


def check_headers(headers: Headers, options: NsqadminOptions) -> None:
    """Refuse a request in which a header with one value stands twice.

    Raises:
        Refused: 400.
    """
    for name in (*_SINGLE, options.acl_http_header):
        if len(headers.getlist(name)) > 1:
            raise Refused(400, "INVALID_REQUEST")


def find_peer(
    client: tuple[str, int] | None,
    scheme: str,
    headers: Headers,
    options: NsqadminOptions,
) -> Peer:
    """Who is at the other end of a connection.

    Args:
        client: address and port of the connection; None for a socket that has none.
    """
    direct = client[0] if client else ""
    address = join_host_port(*client) if client else "local"
    host = headers.get("Host", "")
    networks = options.trusted_networks
    if not networks:
        secure = headers.get("X-Scheme") == "https"
        return Peer(address, "https" if secure else scheme, host, trusted=True)
    if not is_inside(direct, networks):
        return Peer(address, scheme, host, trusted=False)
    hops = ",".join(headers.getlist("X-Forwarded-For")).split(",")
    # From the right: the first that is no proxy of ours is the client; what stands left of it is
    # its own claim.
    for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
        if parse_ip(hop) is None:
            break  # not an address: nobody we trust has written that
        address = hop
        if not is_inside(hop, networks):
            break
    forwarded = headers.get("X-Forwarded-Proto") or headers.get("X-Scheme") or scheme
    return Peer(
        address,
        "https" if forwarded.strip().lower() == "https" else "http",
        headers.get("X-Forwarded-Host") or host,
        trusted=True,
    )


def may_configure(client: tuple[str, int] | None, peer: Peer, options: NsqadminOptions) -> bool:
    """Whether ``/config`` is open for who sent the request.

    Raises:
        ValueError: the address is none.
    """
    if not options.allow_config_from_cidr:
        return True
    network = parse_network(options.allow_config_from_cidr)
    if options.trusted_proxies:
        return is_inside(peer.ip, [network])
    return contains(network, ipaddress.ip_address(client[0] if client else ""))
