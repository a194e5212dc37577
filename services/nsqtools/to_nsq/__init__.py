"""``to_nsq``: publishes standard input, a message a line."""

from typing import Any

from nsqcore.app import startup


def main(arguments: Any = None, process: Any = None) -> int:
    """The exit status of ``to_nsq``; see `nsqtools.shared.program.run_program`."""
    startup.begin()  # before the imports: they take a while, and signals may come meanwhile
    from nsqtools.to_nsq.program import start

    return start(arguments, process)
