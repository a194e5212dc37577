"""The outermost frame of a daemon: command line in, exit status out.

`main` loads the settings, sets up the log, and runs the daemon's own ``run(options, process)``
under trio while it listens for signals. The daemon learns of them through its `Process`: it must
come to an end soon after ``process.shutdown`` is set, and return with everything safe on disk.

Exit status: 0 after a clean stop, 1 for settings or surroundings that do not allow to run and for a
crash, 2 for a command line that does not parse. What is the operator's to mend is told in one line;
only a bug gets a traceback.
"""

import logging
import platform
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import trio

from nsqcore.app import diagnose, log, startup
from nsqcore.app.config.load import load
from nsqcore.app.config.options import OptionsError, Version
from nsqcore.app.process import sdnotify
from nsqcore.app.process.streams import Streams
from nsqcore.app.process.version import VERSION
from nsqcore.classes import define, field
from nsqcore.errors import NsqError, leaves, reason

logger = logging.getLogger(__name__)

# The first asks for a clean stop and the second may be the same wish arriving twice (Ctrl-C reaches
# a whole process group, then its supervisor says it again); with the third somebody means it.
_MAX_STOPS = 3

T = TypeVar("T", bound=log.LogOptions)
Result = TypeVar("Result")


@define(eq=False, repr=False)
class Process:
    """This process, as its daemon sees it.

    The daemon may set ``on_reload``, called at SIGHUP, and ``on_sigterm``, called at the first
    SIGTERM in place of a shutdown (to drain first; the next SIGTERM is a shutdown).

    ``streams`` are its standard input, output and error.
    """

    streams: Streams = field(factory=Streams)
    shutdown: trio.Event = field(factory=trio.Event)
    on_reload: Callable[[], None] | None = None
    reloads: bool = False  # SIGHUP never ends it, though ``on_reload`` may not be set yet
    on_sigterm: Callable[[], None] | None = None
    _stops: int = 0
    _token: trio.lowlevel.TrioToken | None = None
    _scope: trio.CancelScope = field(factory=trio.CancelScope)

    def ready(self) -> None:
        """Tell the supervisor that clients can be served."""
        sdnotify.notify("READY=1")

    def status(self, text: str) -> None:
        """Tell the supervisor in a few words what is going on."""
        sdnotify.notify(f"STATUS={text}")

    def send_signal(self, number: int) -> bool:
        """Act on a signal as if it had been sent; from any thread. False if the daemon is over."""
        if self._token is None:
            return False
        try:
            self._token.run_sync_soon(self._act, number)
        except trio.RunFinishedError:
            return False
        return True

    def _act(self, number: int) -> None:
        if not self.signalled(number):
            logger.warning("process: told %d times to stop, not waiting any longer", _MAX_STOPS)
            self._scope.cancel()

    async def unless_stopped(
        self, function: Callable[..., Awaitable[Result]], *args: Any
    ) -> Result | None:
        """What ``await function(*args)`` returns; None if the process is told to stop before.

        Then it is cancelled. For what may take long while the daemon starts.
        """
        result: Result | None = None
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_at_shutdown, nursery.cancel_scope)
            try:
                result = await function(*args)
            except Exception as error:  # raised below, outside of the nursery's group
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return result

    async def _cancel_at_shutdown(self, scope: trio.CancelScope) -> None:
        await self.shutdown.wait()
        scope.cancel()

    def signalled(self, number: int) -> bool:
        """Act on a signal; False when patience is at an end and the daemon is to be cancelled."""
        name = signal.Signals(number).name
        if number == signal.SIGUSR1:
            for line in diagnose.tasks().splitlines():
                logger.info("process(%s): %s", name, line)
            return True
        if number == signal.SIGHUP and self.reloads and not self.on_reload:
            logger.info("process(%s): nothing to reload yet", name)
            return True
        if number == signal.SIGHUP and self.on_reload:
            logger.info("process(%s): reloading", name)
            sdnotify.notify("RELOADING=1")
            self._call("reloading", self.on_reload)
            sdnotify.notify("READY=1")
            return True
        if number == signal.SIGTERM and self.on_sigterm and not self.shutdown.is_set():
            handler, self.on_sigterm = self.on_sigterm, None
            if self._call("draining", handler):
                return True
        self._stops += 1
        logger.info("process(%s): %s", name, "stopping" if self._stops == 1 else "already stopping")
        self.shutdown.set()
        sdnotify.notify("STOPPING=1")
        return self._stops < _MAX_STOPS

    def _call(self, what: str, handler: Callable[[], None]) -> bool:
        """Whether ``handler()`` did not fail; a signal must not end the daemon by accident."""
        try:
            handler()
        except Exception:
            logger.exception("process: %s failed", what)
            return False
        return True


Run = Callable[[T, Process], Awaitable[None]]


def main(
    program: str,
    options_class: type[T],
    run: Run[T],
    *,
    version: Version = "",
    arguments: Sequence[str] | None = None,
    arguments_allowed: bool = True,
    process: Process | None = None,
    reloads: Callable[[T], bool] = lambda _options: False,
    instead: Callable[[T], int | None] = lambda _options: None,
) -> int:
    """The exit status of a daemon, after it has run.

    In another thread than the main one it can run beside others, and gets no signals; then
    ``process`` is the way to tell it to stop.

    Args:
        instead: what some settings ask for in place of the daemon; its exit status, or None where
            the daemon is to run.
        version: what ``--version`` prints, or what makes it, where it is to tell more than usual.
        arguments: the command line without the program; that of this process by default.
        arguments_allowed: whether arguments behind the flags are ignored, with a warning, or
            refused.
        process: what the daemon gets; by default one with the standard streams.
        reloads: whether SIGHUP is, with these settings, never a reason to end, not even while the
            daemon still starts.
    """
    startup.begin()
    process = process or Process()
    notes: list[str] = []
    given = sys.argv[1:] if arguments is None else arguments
    options = load(
        options_class,
        program,
        given,
        version=version,
        notes=notes,
        arguments_allowed=arguments_allowed,
        streams=process.streams,
    )
    process.reloads = reloads(options)
    try:
        with startup.default_signals():
            status = instead(options)
    except KeyboardInterrupt:
        return 1
    if status is not None:
        return status
    log.set_up(program, options, stream=log.LogStream(process.streams.stderr))
    logger.info("%s v%s (built w/python%s)", program, VERSION, platform.python_version())
    for note in notes:
        logger.warning("settings: %s", note)
    try:
        trio.run(_supervise, options, run, process)
    except BaseExceptionGroup as group:
        # what several tasks found out alike is told once
        told = {str(error) or repr(error): error for error in leaves(group)}
        return max(_report(error) for error in told.values())
    except (Exception, KeyboardInterrupt) as error:
        return _report(error)
    finally:
        startup.ignore_signals_at_exit()
    return 0


async def _supervise(options: T, run: Run[T], process: Process) -> None:
    process._token = trio.lowlevel.current_trio_token()
    with process._scope:
        async with trio.open_nursery() as nursery:
            if signals := startup.handled_signals():
                await nursery.start(_handle_signals, signals, process)
            if interval := sdnotify.watchdog_interval():
                nursery.start_soon(_feed_watchdog, interval)
            await run(options, process)
            nursery.cancel_scope.cancel()


async def _handle_signals(
    signals: Sequence[signal.Signals],
    process: Process,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    with trio.open_signal_receiver(*signals) as received:
        for number in startup.pop_noted_signals():
            process._act(number)
        task_status.started()
        async for number in received:
            process._act(number)


async def _feed_watchdog(interval: float) -> None:
    while True:
        sdnotify.notify("WATCHDOG=1")
        await trio.sleep(interval)


def _report(error: BaseException) -> int:
    if isinstance(error, OptionsError):
        logger.critical("%s", error)
        return error.status
    # an address in use, a directory that is not there, a full disk; a server that is none
    if isinstance(error, (OSError, NsqError)):
        logger.critical("%s", reason(error))
        logger.debug("where the last error came from", exc_info=error)
        return 1
    if isinstance(error, KeyboardInterrupt):
        return 1
    logger.critical("crashed: %s", type(error).__name__, exc_info=error)
    return 1
