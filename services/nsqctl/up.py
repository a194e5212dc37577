"""``nsqctl up``: a local cluster in the foreground, for trying things out.

One nsqlookupd, some nsqd, one nsqadmin, each a process of its own, on loopback at
the well-known ports, or the next free ones. Ctrl-C or SIGTERM stops them in an
order that loses nothing; so does the end of any of them.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import trio
from attrs import Factory, define, frozen

# nsqlookupd TCP and HTTP, nsqd TCP and HTTP of the first, nsqadmin
LOOKUPD_TCP, LOOKUPD_HTTP, NSQD_TCP, NSQD_HTTP, ADMIN_HTTP = 4160, 4161, 4150, 4151, 4171

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

    Raises OSError where a directory cannot be made.
    """
    host = options.host
    taken: set[int] = set()
    result = Plan()
    tcp, http = (_free(host, port, taken) for port in (LOOKUPD_TCP, LOOKUPD_HTTP))
    result.lookupd_tcp, result.lookupd_http = _join(host, tcp), _join(host, http)
    result.members.append(
        Member(
            "nsqlookupd",
            (
                "nsqlookupd",
                f"--tcp-address={result.lookupd_tcp}",
                f"--http-address={result.lookupd_http}",
                f"--broadcast-address={host}",
            ),
            host,
            http,
        )
    )
    for number in range(1, options.nsqd + 1):
        tcp, http = (_free(host, port, taken) for port in (NSQD_TCP, NSQD_HTTP))
        directory = options.data_path / f"nsqd-{number}"
        directory.mkdir(parents=True, exist_ok=True)
        result.nsqd_tcp.append(_join(host, tcp))
        result.nsqd_http.append(_join(host, http))
        result.members.append(
            Member(
                f"nsqd-{number}",
                (
                    "nsqd",
                    f"--tcp-address={_join(host, tcp)}",
                    f"--http-address={_join(host, http)}",
                    f"--data-path={directory}",
                    f"--broadcast-address={host}",
                    f"--lookupd-tcp-address={result.lookupd_tcp}",
                    f"--node-id={number}",
                ),
                host,
                http,
            )
        )
    if options.admin:
        http = _free(host, ADMIN_HTTP, taken)
        result.admin_http = _join(host, http)
        result.members.append(
            Member(
                "nsqadmin",
                (
                    "nsqadmin",
                    f"--http-address={result.admin_http}",
                    f"--lookupd-http-address={result.lookupd_http}",
                ),
                host,
                http,
            )
        )
    return result


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
        except OSError:
            return False
    return True


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
    yield f"  nsq_tail --topic=greetings --lookupd-http-address={plan.lookupd_http} -n 1"
    yield f"  curl 'http://{plan.lookupd_http}/lookup?topic=greetings'"
    yield ""
    yield "Ctrl-C stops it; messages that were not consumed are there at the next start."
    yield ""


async def up(options: UpOptions) -> None:
    """Run a cluster until SIGINT or SIGTERM. Raises UpFailed, OSError."""
    chart = plan(options)
    running: dict[str, trio.Process] = {}
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        failure: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, nursery.cancel_scope)
            try:
                for member in chart.members:
                    process = await _start(member, nursery)
                    running[member.name] = process
                    nursery.start_soon(_watch, member, process, failure, nursery)
                    await _wait_listening(member)
                for line in summary(chart, options):
                    print(line, flush=True)
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await _stop(running)
    if failure:
        raise UpFailed(failure[0])
    print("Stopped.", flush=True)


async def _obey(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


async def _start(member: Member, nursery: trio.Nursery) -> trio.Process:
    program, *arguments = member.arguments
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", program, *arguments],
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
                print(f"{name:<11} {line.decode(errors='replace')}", file=sys.stderr, flush=True)


async def _watch(
    member: Member, process: trio.Process, failure: list[str], nursery: trio.Nursery
) -> None:
    """End the cluster when one of it ends by itself."""
    status = await process.wait()
    failure.append(f"{member.name} ended with status {status}")
    nursery.cancel_scope.cancel()


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


async def _stop(running: dict[str, trio.Process]) -> None:
    """Stop the members: those that ask first, then those that are asked."""
    for prefix in ("nsqadmin", "nsqd", "nsqlookupd"):
        group = [process for name, process in running.items() if name.startswith(prefix)]
        group = [process for process in group if process.poll() is None]
        async with trio.open_nursery() as nursery:
            for process in group:
                process.terminate()
                nursery.start_soon(partial(_await_end, process))


async def _await_end(process: trio.Process) -> None:
    with trio.move_on_after(STOP_TIMEOUT) as scope:
        await process.wait()
    if scope.cancelled_caught:
        process.kill()
        await process.wait()
