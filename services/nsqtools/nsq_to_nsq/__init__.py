"""``nsq_to_nsq``: publishes the messages of some topics to other nsqds."""

from typing import Any

from nsqcore.app import startup


def main(arguments: Any = None, process: Any = None) -> int:
    """The exit status of ``nsq_to_nsq``; see `nsqtools.shared.program.run_program`."""
    return startup.start("nsqtools.nsq_to_nsq.program:start", arguments, process)
