"""``nsqctl up``: a local cluster in the foreground, for trying things out.

One nsqlookupd, some nsqd, one nsqadmin, each a process of its own, on loopback at
the well-known ports, or the next free ones. Ctrl-C, SIGTERM or the end of the terminal
stops them in an order that loses nothing; so does the end of any of them. They never
outlive nsqctl: see `nsqctl.member`.
"""

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import trio
from attrs import Factory, define, frozen

from nsqcore.addresses import join_host_port
from nsqcore.app.dirlock import DirectoryLocked, lock_directory

# nsqlookupd TCP and HTTP, nsqd TCP and HTTP of the first, nsqadmin
LOOKUPD_TCP, LOOKUPD_HTTP, NSQD_TCP, NSQD_HTTP, ADMIN_HTTP = 4160, 4161, 4150, 4151, 4171

# Addresses to listen on that nobody can connect to from elsewhere.
WILDCARDS = ("0.0.0.0", "::")

# How long a process may take to listen, and to stop. A stop writes all of memory to disk.
START_TIMEOUT, STOP_TIMEOUT = 30.0, 60.0


@frozen(kw_only=True)
class UpOptions:
    """What kind of cluster to start."""

    nsqd: int = 2
    data_path: Path = Path("data")
    host: str = "127.0.0.1"
    admin: bool = True


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

    members: list[Member] = Factory(list)
    lookupd_http: str = ""
    lookupd_tcp: str = ""
    nsqd_tcp: list[str] = Factory(list)
    nsqd_http: list[str] = Factory(list)
    admin_http: str = ""


class UpFailed(Exception):
    """The cluster could not be started, or did not stay up; the text says why."""


def plan(options: UpOptions) -> Plan:
    """What to start: addresses that are free now, directories that exist.

    Raises OSError where a directory cannot be made, UpFailed where there is nothing to listen on.
    """
    taken: set[int] = set()
    result = Plan()
    _add_lookupd(result, options, taken)
    for number in range(1, options.nsqd + 1):
        _add_nsqd(result, options, taken, number)
    if options.admin:
        _add_admin(result, options, taken)
    return result


def _add_lookupd(plan: Plan, options: UpOptions, taken: set[int]) -> None:
    host = options.host
    tcp, http = (_free(host, port, taken) for port in (LOOKUPD_TCP, LOOKUPD_HTTP))
    plan.lookupd_tcp, plan.lookupd_http = join_host_port(host, tcp), join_host_port(host, http)
    arguments = [f"--tcp-address={plan.lookupd_tcp}", f"--http-address={plan.lookupd_http}"]
    if host not in WILDCARDS:
        arguments.append(f"--broadcast-address={host}")
    plan.members.append(Member("nsqlookupd", ("nsqlookupd", *arguments), host, http))


def _add_nsqd(plan: Plan, options: UpOptions, taken: set[int], number: int) -> None:
    host = options.host
    tcp, http = (_free(host, port, taken) for port in (NSQD_TCP, NSQD_HTTP))
    directory = options.data_path / f"nsqd-{number}"
    directory.mkdir(parents=True, exist_ok=True)
    _check_unused(directory, options.data_path)
    plan.nsqd_tcp.append(join_host_port(host, tcp))
    plan.nsqd_http.append(join_host_port(host, http))
    arguments = (
        f"--tcp-address={join_host_port(host, tcp)}",
        f"--http-address={join_host_port(host, http)}",
        f"--data-path={directory}",
        f"--broadcast-address={'auto' if host in WILDCARDS else host}",
        f"--lookupd-tcp-address={plan.lookupd_tcp}",
        f"--node-id={number}",
    )
    plan.members.append(Member(f"nsqd-{number}", ("nsqd", *arguments), host, http))


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


def _add_admin(plan: Plan, options: UpOptions, taken: set[int]) -> None:
    http = _free(options.host, ADMIN_HTTP, taken)
    plan.admin_http = join_host_port(options.host, http)
    arguments = (
        f"--http-address={plan.admin_http}",
        f"--lookupd-http-address={plan.lookupd_http}",
    )
    plan.members.append(Member("nsqadmin", ("nsqadmin", *arguments), options.host, http))


def _free(host: str, port: int, taken: set[int]) -> int:
    """The first port from ``port`` on that nobody listens on, and that is not ``taken``."""
    for candidate in range(port, 65536):
        if candidate not in taken and _is_free(host, candidate):
            taken.add(candidate)
            return candidate
    raise UpFailed(f"no free port from {port} on")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise UpFailed(f"cannot listen on {host}: {error.strerror}") from error
    return True


def summary(plan: Plan, options: UpOptions) -> Iterator[str]:
    """What to tell the user once everything is up."""
    yield ""
    yield "A cluster is up."
    yield ""
    yield f"  nsqlookupd  tcp {plan.lookupd_tcp}   http http://{plan.lookupd_http}"
    for number, (tcp, http) in enumerate(zip(plan.nsqd_tcp, plan.nsqd_http, strict=True), 1):
        yield f"  nsqd-{number}      tcp {tcp}   http http://{http}"
    if plan.admin_http:
        yield f"  nsqadmin    http://{plan.admin_http}   <- open this in a browser"
    yield f"  data        {options.data_path.resolve()}"
    yield ""
    yield "Try, in another terminal:"
    yield ""
    yield f"  curl -d 'hello' 'http://{plan.nsqd_http[0]}/pub?topic=greetings'"
    nsq_tail = _command("nsq_tail")
    yield f"  {nsq_tail} --topic=greetings --lookupd-http-address={plan.lookupd_http} -n 1"
    yield f"  curl 'http://{plan.lookupd_http}/lookup?topic=greetings'"
    yield ""
    yield "Ctrl-C stops it; messages that were not consumed are there at the next start."
    yield ""


def _command(name: str) -> str:
    """How to call a program that was installed beside this one."""
    beside = Path(sys.executable).parent / name
    if shutil.which(name) or not beside.exists():
        return name
    with contextlib.suppress(ValueError):
        return str(beside.relative_to(Path.cwd()))
    return str(beside)


async def up(options: UpOptions) -> None:
    """Run a cluster until it is told to stop. Raises UpFailed, OSError."""
    chart = plan(options)
    running: dict[str, trio.Process] = {}
    failures: list[str] = []
    with trio.open_signal_receiver(*_stop_signals()) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, nursery.cancel_scope)
            try:
                for member in chart.members:
                    process = await _start(member, nursery)
                    running[member.name] = process
                    nursery.start_soon(_watch, member.name, process, failures, nursery)
                    await _wait_listening(member)
                for line in summary(chart, options):
                    print(line, flush=True)
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await _stop(running, failures)
    if failures:
        raise UpFailed("\n".join(failures))
    print("Stopped.", flush=True)


def _stop_signals() -> list[signal.Signals]:
    """What stops the cluster; the end of the terminal does not under nohup."""
    stops = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        stops.append(signal.SIGHUP)
    return stops


async def _obey(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


async def _start(member: Member, nursery: trio.Nursery) -> trio.Process:
    process = await trio.lowlevel.open_process(
        # -P: what lies in the current directory is not to be imported
        [sys.executable, "-P", "-m", "nsqctl.member", *member.arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C reaches a whole group: the daemons are to be stopped by us, in order
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    nursery.start_soon(_relay, member.name, process.stderr)
    return process


async def _relay(name: str, stream: trio.abc.ReceiveStream) -> None:
    """Pass a daemon's log on, line by line, with its name in front."""
    rest = b""
    with trio.CancelScope(shield=True):  # the last words are the interesting ones
        async for chunk in stream:
            *lines, rest = (rest + bytes(chunk)).split(b"\n")
            for line in lines:
                _tell(f"{name:<11} {line.decode(errors='replace')}")
        if rest:
            _tell(f"{name:<11} {rest.decode(errors='replace')}")


def _tell(line: str) -> None:
    # a daemon whose log nobody takes would stand still: without a terminal, read it all the same
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


async def _watch(
    name: str, process: trio.Process, failures: list[str], nursery: trio.Nursery
) -> None:
    """End the cluster when one of it ends by itself."""
    status = await process.wait()
    failures.append(f"{name} ended by itself, {_how(status)}: its log is above")
    nursery.cancel_scope.cancel()


def _how(status: int) -> str:
    """An exit status, in words."""
    with contextlib.suppress(ValueError):  # signals without a name
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
    return f"status {status}"


async def _wait_listening(member: Member) -> None:
    with trio.move_on_after(START_TIMEOUT):
        while True:
            try:
                stream = await trio.open_tcp_stream(member.host, member.port)
            except OSError:
                await trio.sleep(0.05)
            else:
                await stream.aclose()
                return
    raise UpFailed(f"{member.name} does not listen on port {member.port}")


async def _stop(running: dict[str, trio.Process], failures: list[str]) -> None:
    """Stop the members: those that ask first, then those that are asked."""
    for prefix in ("nsqadmin", "nsqd", "nsqlookupd"):
        async with trio.open_nursery() as nursery:
            for name, process in running.items():
                if name.startswith(prefix) and process.poll() is None:
                    nursery.start_soon(_end, name, process, failures)


async def _end(name: str, process: trio.Process, failures: list[str]) -> None:
    process.terminate()
    status = 0
    with trio.move_on_after(STOP_TIMEOUT) as scope:
        status = await process.wait()
    if scope.cancelled_caught:
        process.kill()
        await process.wait()
        failures.append(f"{name} did not stop within {STOP_TIMEOUT:.0f} s: killed")
    elif status not in (0, -signal.SIGTERM):  # the latter: it had hardly begun
        failures.append(f"{name} did not stop well, {_how(status)}: its log is above")
