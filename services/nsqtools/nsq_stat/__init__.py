"""``nsq_stat``: depths and rates of a channel over all its nsqds, a row every few seconds."""

from typing import Any

from nsqcore.app import startup


def main(arguments: Any = None, process: Any = None) -> int:
    """The exit status of ``nsq_stat``; see `nsqtools.shared.program.run_program`."""
    return startup.start("nsqtools.nsq_stat.program:start", arguments, process)
