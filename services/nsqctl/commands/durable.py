"""``nsqctl durable check|dump|export|repair``: nsqd's own program for its formats does it."""

import argparse
import signal
import subprocess
import sys

import trio

from nsqcore.app.process.pipes import end_by_broken_pipe


async def run_durable_command(given: argparse.Namespace) -> int:
    """Do what ``given.action`` says; the exit status."""
    # -P: a directory called nsqd where somebody happens to be is not nsqd
    command = [sys.executable, "-P", "-m", "nsqd.rescue", *command_line(given)]
    sys.stdout.flush()
    finished = await trio.run_process(command, stdin=subprocess.DEVNULL, check=False)
    status = finished.returncode
    if status == -signal.SIGPIPE:
        end_by_broken_pipe()  # whoever reads the dump has seen enough
    return status if status >= 0 else 128 - status


def command_line(given: argparse.Namespace) -> list[str]:
    """The arguments of that program."""
    options = [
        f"--{name.replace('_', '-')}={value}"
        for name in ("topic", "body", "to")
        if (value := getattr(given, name, ""))
    ]
    options += [
        f"--{name.replace('_', '-')}"
        for name in ("json", "entries", "drop_timers")
        if getattr(given, name, False)
    ]
    return [given.action, *options, "--", given.directory]
