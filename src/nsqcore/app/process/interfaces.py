"""The addresses of this machine."""

import socket

# A documentation address (RFC 5737): nobody is there, but the way to it is the default route.
_ANYWHERE = ("192.0.2.1", 9)


def default_address() -> str:
    """The address of the interface that leads out into the world; empty if none does.

    Nothing is sent: connecting a datagram socket only chooses a route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
        except OSError:
            return ""
        return str(probe.getsockname()[0])
