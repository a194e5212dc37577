"""Values that only nsqd's settings have: how they are read, and which are refused."""

import binascii
import enum
import hashlib
import socket

from nsqcore.addresses import AddressError, is_host, is_unix, parse_host_port, split_host_port
from nsqcore.app.config.options import OptionsError
from nsqcore.app.config.values import boolean, listening_address, numbers, text
from nsqcore.wire.lookup import External

TOPOLOGY_AWARE_CONSUMPTION = "topology-aware-consumption"

# Message ids of the original carry the node id in ten bits.
MAX_NODE_ID = 1023

# Bounds of --journal-file-size: room for several batches, and files that are read at once.
MIN_JOURNAL_FILE = 8 << 20
MAX_JOURNAL_FILE = 1 << 30


class TLSRequired(enum.IntEnum):
    """Which plain connections are refused; the numbers are those of GET /config/tls_required."""

    NO = 0
    EXCEPT_HTTP = 1
    YES = 2


def parse_tls_required(value: object) -> TLSRequired:
    """``true``, ``false`` or ``tcp-https``."""
    word = text(value).lower()
    if word == "tcp-https":
        return TLSRequired.EXCEPT_HTTP
    try:
        return TLSRequired.YES if boolean(word) else TLSRequired.NO
    except ValueError:
        raise ValueError("expected true, false or tcp-https") from None


def parse_percentiles(value: object) -> list[float]:
    """Numbers separated by commas; as in the original others end with 1, also in a flag."""
    try:
        return numbers(value)
    except ValueError as error:
        raise OptionsError(
            f"Could not parse: {str(value)[:200]} (--e2e-processing-latency-percentile: {error})"
        ) from error


def parse_external(value: str) -> External | None:
    """``HOST:TCP_PORT[:HTTP_PORT]``, the host of IPv6 in brackets; None if empty.

    Without the last port 0 stands for it: nsqd's HTTP is not reached from outside.

    Raises:
        ValueError: it is none of these.
    """
    if not value:
        return None
    ports = value[value.rfind("]") + 1 :].count(":")
    first, http = (value.rpartition(":")[::2]) if ports == 2 else (value, "")
    try:
        host, tcp = parse_host_port(first)
        port = parse_host_port(f":{http}")[1] if http or ports == 2 else 0
    except AddressError as error:
        raise ValueError("expected <addr>:<TCP port>[:<HTTP port>]") from error
    if not is_host(host):
        raise ValueError("expected <addr>:<TCP port>[:<HTTP port>]")
    return External(host, tcp, port)


def check_external(value: str) -> None:
    """A check: an external address."""
    parse_external(value)


def default_node_id() -> int:
    """A number below 1024 made from the host name, the same one as the original makes."""
    digest = hashlib.md5(socket.gethostname().encode(), usedforsecurity=False).digest()
    return binascii.crc32(digest) % (MAX_NODE_ID + 1)


def check_node_id(value: int) -> None:
    """A check: a number that message ids have room for."""
    if not 0 <= value <= MAX_NODE_ID:
        raise ValueError(f"must be [0,{MAX_NODE_ID + 1})")


def check_percentile(value: float) -> None:
    """A check: above 0 and up to 1."""
    if not 0 < value <= 1:
        raise ValueError("must be greater than 0 and at most 1")


def check_request_method(value: str) -> None:
    """A check: a method that auth servers are asked with."""
    if value not in ("get", "post"):
        raise ValueError("must be post or get")


def check_experiment(name: str) -> None:
    """A check: an experimental feature that there is."""
    if name != TOPOLOGY_AWARE_CONSUMPTION:
        raise ValueError(f"must be {TOPOLOGY_AWARE_CONSUMPTION}")


def check_lookupd_address(address: str) -> None:
    """A check: ``host:port`` of an nsqlookupd, perhaps with ``tls://`` before it."""
    try:
        parse_host_port(address.removeprefix("tls://"))
    except AddressError as error:
        raise ValueError(f"must be <addr>:<port>: {error}") from error


def check_shared_address(address: str) -> None:
    """A check: ``host:port`` or ``:port`` that several processes can listen on, or nothing."""
    if not address:
        return
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError("this system lets no two processes listen on one address (SO_REUSEPORT)")
    try:
        _, port = split_host_port(address)
    except AddressError as error:
        raise ValueError(f"must be <addr>:<port>: {error}") from error
    if is_unix(address) or not port.isdecimal() or not 0 < int(port[:6]) < 65536:
        raise ValueError("must be <addr>:<port> with a port from 1 to 65535: all have to know it")


def tcp_listening_address(address: str) -> None:
    """A check: where to listen for clients, which nsqd cannot be without."""
    if not address:
        raise ValueError("must be <addr>:<port>, or the path of a Unix socket")
    listening_address(address)


def check_statsd_address(address: str) -> None:
    """A check: ``host:port`` of a statsd daemon, or nothing."""
    if not address:
        return
    try:
        _, port = split_host_port(address)
    except AddressError as error:
        raise ValueError(f"must be <addr>:<port>: {error}") from error
    if not port:
        raise ValueError("must be <addr>:<port>: the port is missing")
    if port.isdecimal() and not 0 < int(port[:6]) < 65536:
        raise ValueError(f"must be <addr>:<port>: address {address}: invalid port")


def descending(values: list[float]) -> tuple[float, ...]:
    """``values``, the largest first."""
    return tuple(sorted(values, reverse=True))
