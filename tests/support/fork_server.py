"""The process that `tests.support.forks` forks programs from.

Started with the number of a socket on which each message asks for one program. It never runs a loop
of its own nor a thread, so that a fork is as a new process is.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
import warnings
from functools import partial
from importlib.metadata import distribution
from typing import Any

PACKAGES = ("nsqcore", "nsqclient", "nsqd", "nsqlookupd", "nsqadmin", "nsqtools", "nsqctl")

# Requests are small but for their environment.
LONGEST_REQUEST = 1 << 20


def main(descriptor: int) -> None:
    """Fork what is asked for until the other end is closed; then kill what is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then stop us
    asked = socket.socket(fileno=descriptor)
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    entries = entry_points()
    import_all()
    gc.collect()
    gc.freeze()
    running: dict[int, socket.socket] = {}
    try:
        while True:
            readable, _, _ = select.select([asked, woken], [], [])
            if woken in readable:
                with contextlib.suppress(BlockingIOError):
                    woken.recv(4096)
                reap(running)
            if asked in readable:
                message, descriptors, _, _ = socket.recv_fds(asked, LONGEST_REQUEST, 4)
                if not message:
                    return
                *streams, status = descriptors
                answers = socket.socket(fileno=status)
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    become(json.loads(message), streams, entries)
                for stream in streams:
                    os.close(stream)
                running[pid] = answers
                answers.send(str(pid).encode())
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)


def entry_points() -> dict[str, tuple[str, str]]:
    """Module and function of each installed program."""
    scripts = distribution("nsq-trio").entry_points.select(group="console_scripts")
    return {script.name: (script.module, script.attr) for script in scripts}


def import_all() -> None:
    """Import what programs are made of, also what they import late."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            importlib.import_module(found.name)


def reap(running: dict[int, socket.socket]) -> None:
    """Tell the exit status of what has ended."""
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with running.pop(pid) as answers, contextlib.suppress(OSError):
                answers.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(wanted: dict[str, Any], streams: list[int], entries: dict[str, tuple[str, str]]) -> None:
    """Be the program that is asked for, as a new interpreter would be; never returns."""
    status = 120
    try:
        for number in (signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 65536)
        os.chdir(wanted["cwd"])
        os.environ.clear()
        os.environ.update(wanted["env"])
        if wanted["terminal"]:
            from tests.support.forks import take_terminal

            take_terminal()
        lines = 1 if os.isatty(1) else -1
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", buffering=lines, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
        sys.argv = wanted["command"]
        program = sys.argv[0]
        if program.endswith(".py"):
            warnings.simplefilter("error")
            sys.path[0] = os.path.dirname(program)
            status = call(partial(run_script, program))
        else:
            module, function = entries[program]
            status = call(getattr(importlib.import_module(module), function))
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def run_script(path: str) -> None:
    """Run the program in Python that is there."""
    runpy.run_path(path, run_name="__main__")


def call(function: Any) -> int:
    """The exit status of ``sys.exit(function())``."""
    try:
        sys.exit(function())
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    return 1


if __name__ == "__main__":
    main(int(sys.argv[1]))
