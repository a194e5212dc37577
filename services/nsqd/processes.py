"""``nsqd --processes N``: independent nsqd on one host, so that more cores are used.

Each is a process of its own with its own ports, data directory, node id and registration; they
share nothing, and clients find them all through nsqlookupd. Number 0 is what a single nsqd with
these settings would be; each further one listens `PORT_STEP` ports higher and keeps its data in
``nsqd-NUMBER`` inside the data directory.

The supervisor starts them, starts again those that crash, and passes signals on; it never touches
a message. Members do not outlive it (`nsqcore.app.process.children`).
"""

import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from functools import partial

import trio

from nsqcore.addresses import AddressError, is_unix, join_host_port, split_host_port
from nsqcore.app.config.options import OptionsError
from nsqcore.app.process.children import open_child
from nsqcore.app.service import Process
from nsqcore.backoff import Backoff
from nsqcore.classes import Factory, define
from nsqd.config.option_values import MAX_NODE_ID, parse_external
from nsqd.config.options import NsqdOptions

logger = logging.getLogger(__name__)

# Wide enough for the ports that NSQ's daemons use side by side: 4150 to 4171.
PORT_STEP = 100

# Seconds before a member that crashed is started again; the count of its crashes begins anew once
# it has run for the time of STEADY.
RESTART, STEADY = Backoff(first=0.5, longest=30.0), 60.0


def member_flags(options: NsqdOptions, number: int) -> list[str]:
    """What member ``number`` is told behind the flags of the supervisor. Raises OptionsError."""
    if number == 0:
        return ["--processes=1"]
    step = PORT_STEP * number
    tcp, http = options.broadcast_tcp_port, options.broadcast_http_port
    return [
        "--processes=1",
        f"--tcp-address={_moved(options.tcp_address, number)}",
        f"--http-address={_moved(options.http_address, number)}",
        f"--https-address={_moved(options.https_address, number)}",
        f"--broadcast-tcp-port={tcp + step if tcp else 0}",
        f"--broadcast-http-port={http + step if http else 0}",
        *_external_flag(options.external_address, step),
        f"--data-path={member_directory(options, number)}",
        f"--node-id={(options.id + number) % (MAX_NODE_ID + 1)}",
        # lines of the default prefix stay greppable: "[nsqd-1] "
        f"--log-prefix={options.log_prefix.replace('nsqd', f'nsqd-{number}')}",
    ]


def member_directory(options: NsqdOptions, number: int) -> str:
    """Where member ``number`` keeps its data."""
    path = options.data_path or os.getcwd()
    return os.path.join(path, f"nsqd-{number}") if number else path


def _external_flag(address: str, step: int) -> list[str]:
    """What tells a member of an external address whose ports are ``step`` higher."""
    external = parse_external(address)
    if external is None:
        return []
    told = join_host_port(external.address, external.tcp_port + step)
    if external.http_port:
        told += f":{external.http_port + step}"
    return [f"--external-address={told}"]


def _moved(address: str, number: int) -> str:
    """Where member ``number`` listens if number 0 listens at ``address``."""
    if not address:
        return address
    if is_unix(address):
        return f"{address}.{number}"
    try:
        host, port = split_host_port(address)
        if int(port or 0) == 0:  # the system chooses
            return address
        return join_host_port(host, int(port) + PORT_STEP * number)
    except (AddressError, ValueError) as error:
        raise OptionsError(f"--processes cannot count on from the address {address}") from error


@define(eq=False, repr=False)
class MemberSupervisor:
    """The members, and what becomes of them. ``folder`` is for sockets."""

    process: Process
    folder: str
    size: int
    running: dict[int, trio.Process] = Factory(dict)
    _ready: set[int] = Factory(set)
    _bad: dict[int, int] = Factory(dict)  # ended when told to, but with this status

    def signal(self, number: int) -> None:
        """Pass a signal on to every member."""
        for member in self.running.values():
            member.send_signal(number)

    async def stop_when_told(self) -> None:
        """Stop the members once the supervisor is to stop."""
        await self.process.shutdown.wait()
        self.signal(signal.SIGTERM)

    async def run_member(self, number: int, arguments: Sequence[str]) -> None:
        """Run member ``number``, and again when it crashes, until it ends or is stopped.

        Raises OptionsError where it cannot even start.
        """
        crashes = 0
        while True:
            began = trio.current_time()
            status = await self._run(number, arguments)
            if self.process.shutdown.is_set():
                if status not in (0, -signal.SIGTERM):
                    self._bad[number] = status
                return
            if status == 0:
                logger.info("processes: nsqd(%d) has ended", number)
                return
            if number not in self._ready:
                text = f"nsqd({number}) ended with status {status} before it was ready"
                raise OptionsError(text, status=max(status, 1))
            crashes = 1 if trio.current_time() - began > STEADY else crashes + 1
            pause = RESTART.pause(crashes)
            logger.error(
                "processes: nsqd(%d) ended with status %d, starting it again in %.1f s",
                number,
                status,
                pause,
            )
            with trio.move_on_after(pause):
                await self.process.shutdown.wait()
                return

    def check(self) -> None:
        """Raise OptionsError if a member did not stop as it should."""
        for number, status in self._bad.items():
            raise OptionsError(f"nsqd({number}) stopped with status {status}", status=1)

    async def _run(self, number: int, arguments: Sequence[str]) -> int:
        """The exit status of member ``number``, once it has run."""
        path = os.path.join(self.folder, str(number))
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            await notices.bind(path)
            try:
                member = await open_child("nsqd", arguments, environment={"NOTIFY_SOCKET": path})
                logger.info("processes: nsqd(%d) is started, pid %d", number, member.pid)
                return await self._watch(number, member, notices)
            finally:
                os.unlink(path)

    async def _watch(
        self, number: int, member: trio.Process, notices: trio.socket.SocketType
    ) -> int:
        self.running[number] = member
        if self.process.shutdown.is_set():
            member.terminate()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, number, notices)
                status = await member.wait()
                nursery.cancel_scope.cancel()
        finally:
            del self.running[number]
            if member.poll() is None:
                # Told to stop until the time for it is over, or another member could not start.
                if self.process.shutdown.is_set():
                    member.kill()
                else:
                    member.terminate()
                with trio.CancelScope(shield=True):
                    await member.wait()
            if member.stdin is not None:
                await trio.aclose_forcefully(member.stdin)
        return status

    async def _listen(self, number: int, notices: trio.socket.SocketType) -> None:
        """Hear what member ``number`` would tell systemd; all being ready is passed on."""
        while True:
            if b"READY=1" not in await notices.recv(4096) or number in self._ready:
                continue
            self._ready.add(number)
            if len(self._ready) == self.size:
                logger.info("processes: all %d nsqd are ready", self.size)
                self.process.ready()


def _prepare(options: NsqdOptions) -> None:
    """Make the directories of the members, and tell of one that none of them serves."""
    for number in range(options.processes):
        os.makedirs(member_directory(options, number), exist_ok=True)
    surplus = member_directory(options, options.processes)
    if os.path.isdir(surplus):
        logger.warning("processes: nobody serves %s, which more processes have left", surplus)


async def supervise(options: NsqdOptions, process: Process) -> None:
    """Run ``options.processes`` nsqd with the flags of this process, until ``process.shutdown``.

    Raises OptionsError where a member cannot start or ended badly, OSError where its directory
    cannot be made.
    """
    given = sys.argv[1:]
    commands = [[*given, *member_flags(options, number)] for number in range(options.processes)]
    _prepare(options)
    with tempfile.TemporaryDirectory(prefix="nsqd-") as folder:
        supervisor = MemberSupervisor(process, folder, options.processes)
        process.on_reload = partial(supervisor.signal, signal.SIGHUP)
        if options.sigterm == "drain":
            process.on_sigterm = partial(supervisor.signal, signal.SIGTERM)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.stop_when_told)
            async with trio.open_nursery() as members:
                for number, arguments in enumerate(commands):
                    members.start_soon(supervisor.run_member, number, arguments)
            nursery.cancel_scope.cancel()
        supervisor.check()
