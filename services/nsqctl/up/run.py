"""The processes of a local cluster: started in order, watched, stopped in order."""

import argparse
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable

import trio

from nsqcore.app.process.children import open_child, status_text, stop_child
from nsqctl.shared.stop_signals import stop_signals
from nsqctl.up.plan import Member, UpOptions, plan
from nsqctl.up.ports import UpFailed
from nsqctl.up.summary import beginning, summary

# How long a process may take to listen, and to stop. A stop writes all of memory to disk.
START_TIMEOUT, STOP_TIMEOUT = 30.0, 60.0


async def run_up(given: argparse.Namespace) -> int:
    """The exit status of ``nsqctl up``, once its cluster has stopped. Raises UpFailed, OSError."""
    await up(
        UpOptions(
            nsqd=given.nsqd,
            shared_ports=given.shared_ports,
            data_path=given.data_path,
            host=given.host,
            broadcast_address=given.broadcast_address,
            admin=not given.no_admin,
            log_level=given.log_level,
        )
    )
    return 0


async def up(options: UpOptions) -> None:
    """Run a cluster until it is told to stop. Raises UpFailed, OSError."""
    planned = plan(options)
    _print(beginning(planned))
    running: dict[str, trio.Process] = {}
    failures: list[str] = []
    with trio.open_signal_receiver(*stop_signals()) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_at_signal, signals, nursery.cancel_scope)
            try:
                for member in planned.members:
                    process = await _start(member, nursery)
                    running[member.name] = process
                    nursery.start_soon(_watch, member.name, process, failures, nursery)
                    await _wait_listening(member)
                _print(summary(planned, options))
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await _stop(running, failures)
    if failures:
        raise UpFailed("\n".join(failures))
    print("Stopped.", flush=True)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


async def _stop_at_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


async def _start(member: Member, nursery: trio.Nursery) -> trio.Process:
    program, *flags = member.arguments
    process = await open_child(
        program, flags, environment={"PYTHONUNBUFFERED": "1"}, stderr=subprocess.PIPE
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
                _log(f"{name:<11} {line.decode(errors='replace')}")
        if rest:
            _log(f"{name:<11} {rest.decode(errors='replace')}")


def _log(line: str) -> None:
    # a daemon whose log nobody takes would stand still: without a terminal, read it all the same
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


async def _watch(
    name: str, process: trio.Process, failures: list[str], nursery: trio.Nursery
) -> None:
    """End the cluster when one of it ends by itself."""
    status = await process.wait()
    failures.append(f"{name} ended by itself, {status_text(status)}: its log is above")
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


async def _stop(running: dict[str, trio.Process], failures: list[str]) -> None:
    """Stop the members: those that ask first, then those that are asked."""
    for prefix in ("nsqadmin", "nsqd", "nsqlookupd"):
        async with trio.open_nursery() as nursery:
            for name, process in running.items():
                if name.startswith(prefix) and process.poll() is None:
                    nursery.start_soon(_end, name, process, failures)


async def _end(name: str, process: trio.Process, failures: list[str]) -> None:
    status = await stop_child(process, STOP_TIMEOUT)
    if status is None:
        failures.append(f"{name} did not stop within {STOP_TIMEOUT:.0f} s: killed")
    elif status not in (0, -signal.SIGTERM):  # the latter: it had hardly begun
        failures.append(f"{name} did not stop well, {status_text(status)}: its log is above")
