"""``nsq_to_nsq``: publishes the messages of some topics to other nsqds."""

from typing import Any

from nsqcore.app import startup


def main(arguments: Any = None, process: Any = None) -> int:
    """The exit status of ``nsq_to_nsq``; see `nsqtools.shared.program.run_program`."""
    startup.begin()  # before the imports: they take a while, and signals may come meanwhile
    from nsqtools.nsq_to_nsq.program import start

    return start(arguments, process)
