"""``nsq_tail``: the messages of some topics, a line each, on standard output."""

from typing import Any

from nsqcore.app import startup


def main(arguments: Any = None, process: Any = None) -> int:
    """The exit status of ``nsq_tail``; see `nsqtools.shared.program.run_program`."""
    return startup.start("nsqtools.nsq_tail.program:start", arguments, process)
