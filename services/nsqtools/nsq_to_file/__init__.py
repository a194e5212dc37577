"""``nsq_to_file``: messages of some topics into files, a line each."""

from typing import Any

from nsqcore.app import startup


def main(arguments: Any = None, process: Any = None) -> int:
    """The exit status of ``nsq_to_file``; see `nsqtools.shared.program.run_program`."""
    return startup.start("nsqtools.nsq_to_file.program:start", arguments, process)
