"""Which site a request comes from, and whether it is meant for us."""

import ipaddress
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from nsqadmin.auth.peers import Peer
from nsqadmin.config.options import NsqadminOptions
from nsqcore.addresses import host_of


def same_origin(headers: Headers, peer: Peer) -> bool:
    """Whether a state-changing request comes from our own pages, or from no browser at all.

    Browsers say where a request comes from: ``Sec-Fetch-Site`` (on HTTPS and localhost) and
    ``Origin`` (on every POST and DELETE). Scripts send neither.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("Origin")
    if origin is None:
        return True
    # The scheme may be a proxy's affair. X-Forwarded-Host is trusted from anyone here: no page of
    # another site can make a browser send it.
    ours = {peer.host.lower(), headers.get("X-Forwarded-Host", "").lower()} - {""}
    try:
        return urlsplit(origin.lower()).netloc in ours
    except ValueError:
        return False


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
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
