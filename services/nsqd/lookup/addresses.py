"""Which endpoints a configured nsqlookupd address stands for.

A name that resolves to many addresses, as that of a headless Kubernetes service or of a
scaled compose service does, stands for one nsqlookupd each. A name with one address per IP
version is one nsqlookupd, reached by whichever answers.
"""

from collections.abc import Awaitable, Callable

import trio

from nsqcore.addresses import parse_host_port
from nsqd.lookup.secure import SCHEME

Endpoint = tuple[str, int]
Resolve = Callable[[str, int], Awaitable[list[Endpoint]]]


def parse_address(address: str) -> Endpoint:
    """Host and port of ``address``; no host is this machine.

    Raises:
        AddressError: it is not ``host:port``, perhaps with ``tls://`` before it.
    """
    host, port = parse_host_port(address.removeprefix(SCHEME))
    return host or "localhost", port


async def resolve(host: str, port: int) -> list[Endpoint]:
    """Where nsqlookupd are to be found: the addresses of ``host`` if they are many, else itself.

    Raises OSError where the name can't be resolved, ValueError where it is no name.
    """
    found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    versions: dict[int, list[Endpoint]] = {}
    for family, *_, address in found:
        endpoint = (str(address[0]), port)
        addresses = versions.setdefault(family, [])
        if endpoint not in addresses:
            addresses.append(endpoint)
    # Of equally many, IPv4: that a machine has IPv6 addresses does not mean it gets anywhere.
    most = max(versions.values(), key=lambda found: (len(found), ":" not in found[0][0]))
    return sorted(most) if len(most) > 1 else [(host, port)]
