"""Which processes a local cluster has, with which flags, and under which addresses to find them."""

import socket
from pathlib import Path

from nsqcore.addresses import join_host_port
from nsqcore.app.process.dirlock import DirectoryLocked, lock_directory
from nsqcore.app.process.interfaces import default_address
from nsqcore.classes import Factory, define, frozen
from nsqctl.up.ports import FreePorts, UpFailed

# nsqlookupd TCP and HTTP, nsqd TCP and HTTP of the first, nsqadmin
LOOKUPD_TCP, LOOKUPD_HTTP, NSQD_TCP, NSQD_HTTP, ADMIN_HTTP = 4160, 4161, 4150, 4151, 4171

# TCP and HTTP that all nsqd have in common, for publishers
SHARED_TCP, SHARED_HTTP = 4140, 4141

# Every interface: nobody can connect to these, and the loopback address reaches them from here.
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@frozen(kw_only=True)
class UpOptions:
    """What kind of cluster to start.

    ``host`` is what the daemons listen on, ``broadcast_address`` what others are told of them: by
    default ``host``, or this machine's address where that is every interface. With
    ``shared_ports`` all nsqd have one more address in common, for publishers.
    """

    nsqd: int = 2
    shared_ports: bool = False
    data_path: Path = Path("data")
    host: str = "127.0.0.1"
    broadcast_address: str = ""
    admin: bool = True
    log_level: str = "warn"


@frozen
class Member:
    """One process of the cluster: its name, its command line, the address that tells it is up."""

    name: str
    arguments: tuple[str, ...]
    host: str
    port: int


@define
class Plan:
    """The processes to start, in order, and what to tell about them."""

    told: str  # the host by which others find the cluster
    near: str  # and by which its members find each other
    notes: list[str] = Factory(list)
    members: list[Member] = Factory(list)
    lookupd_http: str = ""
    lookupd_tcp: str = ""
    nsqd_tcp: list[str] = Factory(list)
    nsqd_http: list[str] = Factory(list)
    shared_tcp: str = ""
    shared_http: str = ""
    shared_flags: tuple[str, ...] = ()
    admin_http: str = ""


def plan(options: UpOptions) -> Plan:
    """What to start: addresses that are free now, directories that exist.

    Raises OSError where a directory cannot be made, UpFailed where there is nothing to listen on.
    """
    if not options.host:
        raise UpFailed("--host is empty: it is the address to listen on; 0.0.0.0 is all of them")
    ports = FreePorts(options.host)
    made = Plan(*_hosts(options, ports.notes), notes=ports.notes)
    _add_lookupd(made, options, ports)
    if options.shared_ports:
        _share(made, options, ports)
    for number in range(1, options.nsqd + 1):
        _add_nsqd(made, options, ports, number)
    if options.admin:
        _add_admin(made, options, ports)
    return made


def _hosts(options: UpOptions, notes: list[str]) -> tuple[str, str]:
    """The host that others are told, and the one that members use."""
    near = WILDCARDS.get(options.host, options.host)
    if options.broadcast_address or near == options.host:
        return options.broadcast_address or near, near
    found = default_address() or _resolved_address()
    if not found:
        notes.append(
            f"this machine's own address is not known: others are told {near}, which leads"
            " them to themselves; --broadcast-address=ADDRESS says it"
        )
    return found or near, near


def _resolved_address() -> str:
    """What this machine's name means, if it is no loopback address."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except (OSError, ValueError):
        return ""
    addresses = [str(address[0]) for *_, address in found]
    return next((one for one in addresses if not one.startswith("127.")), "")


def _add_lookupd(made: Plan, options: UpOptions, ports: FreePorts) -> None:
    tcp = ports.take(LOOKUPD_TCP, "nsqlookupd")
    http = ports.take(LOOKUPD_HTTP, "nsqlookupd's HTTP API")
    made.lookupd_tcp, made.lookupd_http = _addresses(made.told, tcp, http)
    arguments = (
        *_listen(options.host, tcp, http),
        f"--broadcast-address={made.told}",
        f"--log-level={options.log_level}",
    )
    made.members.append(Member("nsqlookupd", ("nsqlookupd", *arguments), made.near, http))


def _share(made: Plan, options: UpOptions, ports: FreePorts) -> None:
    """What all nsqd listen on in common."""
    tcp = ports.take(SHARED_TCP, "the nsqds' shared TCP")
    http = ports.take(SHARED_HTTP, "the nsqds' shared HTTP")
    made.shared_tcp, made.shared_http = _addresses(made.told, tcp, http)
    listen = _addresses(options.host, tcp, http)
    made.shared_flags = (
        f"--shared-tcp-address={listen[0]}",
        f"--shared-http-address={listen[1]}",
    )


def _add_nsqd(made: Plan, options: UpOptions, ports: FreePorts, number: int) -> None:
    name = f"nsqd-{number}"
    tcp, http = ports.take(NSQD_TCP, name), ports.take(NSQD_HTTP, f"{name}'s HTTP API")
    directory = options.data_path / name
    directory.mkdir(parents=True, exist_ok=True)
    _check_unused(directory, options.data_path)
    for addresses, address in zip(
        (made.nsqd_tcp, made.nsqd_http), _addresses(made.told, tcp, http), strict=True
    ):
        addresses.append(address)
    lookupd_port = made.lookupd_tcp.rpartition(":")[2]
    arguments = (
        *_listen(options.host, tcp, http),
        f"--data-path={directory}",
        f"--broadcast-address={made.told}",
        f"--lookupd-tcp-address={join_host_port(made.near, lookupd_port)}",
        f"--node-id={number}",
        *made.shared_flags,
        f"--log-level={options.log_level}",
    )
    made.members.append(Member(name, ("nsqd", *arguments), made.near, http))


def _add_admin(made: Plan, options: UpOptions, ports: FreePorts) -> None:
    http = ports.take(ADMIN_HTTP, "nsqadmin")
    made.admin_http = join_host_port(made.told, http)
    lookupd_port = made.lookupd_http.rpartition(":")[2]
    arguments = (
        f"--http-address={join_host_port(options.host, http)}",
        f"--lookupd-http-address={join_host_port(made.near, lookupd_port)}",
        f"--log-level={options.log_level}",
    )
    made.members.append(Member("nsqadmin", ("nsqadmin", *arguments), made.near, http))


def _listen(host: str, tcp: int, http: int) -> tuple[str, str]:
    tcp_address, http_address = _addresses(host, tcp, http)
    return f"--tcp-address={tcp_address}", f"--http-address={http_address}"


def _addresses(host: str, tcp: int, http: int) -> tuple[str, str]:
    return join_host_port(host, tcp), join_host_port(host, http)


def _check_unused(directory: Path, data_path: Path) -> None:
    """nsqd looks, too, but its word would be lost among the logs of the others."""
    try:
        lock_directory(str(directory)).release()
    except DirectoryLocked as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
        raise UpFailed(
            f"{data_path} is in use, by another nsqctl up most likely;"
            " --data-path=DIR keeps this cluster's data elsewhere"
        ) from error
