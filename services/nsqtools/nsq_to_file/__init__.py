"""``nsq_to_file``: messages of some topics into files, a line each."""

from typing import Any

from nsqcore.app import startup


def main(arguments: Any = None, process: Any = None) -> int:
    """The exit status of ``nsq_to_file``; see `nsqtools.shared.program.run_program`."""
    startup.begin()  # before the imports: they take a while, and signals may come meanwhile
    from nsqtools.nsq_to_file.program import start

    return start(arguments, process)
