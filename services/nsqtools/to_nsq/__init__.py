"""``to_nsq``: publishes standard input, a message a line."""

from typing import Any

from nsqcore.app import startup


def main(arguments: Any = None, process: Any = None) -> int:
    """The exit status of ``to_nsq``; see `nsqtools.shared.program.run_program`."""
    return startup.start("nsqtools.to_nsq.program:start", arguments, process)
