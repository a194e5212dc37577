"""Whether an address lies in a network that an option names."""

import ipaddress
from collections.abc import Iterable

from nsqadmin.config.options import Network
from nsqcore.addresses import host_of

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_ip(address: str) -> Address | None:
    """The IP address in ``address``, which may have a port; None if there is none."""
    try:
        return ipaddress.ip_address(host_of(address).partition("%")[0])
    except ValueError:
        return None


def contains(network: Network, address: Address) -> bool:
    """Whether ``address`` is in ``network``; an IPv4 address written as IPv6 counts as IPv4."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.version == network.version and address in network


def is_inside(address: str, networks: Iterable[Network]) -> bool:
    """Whether ``address`` (perhaps with a port) is in one of ``networks``."""
    parsed = parse_ip(address)
    return parsed is not None and any(contains(network, parsed) for network in networks)
