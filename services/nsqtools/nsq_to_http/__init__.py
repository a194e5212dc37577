"""``nsq_to_http``: a request to an HTTP endpoint for each message of a topic."""

from typing import Any

from nsqcore.app import startup


def main(arguments: Any = None, process: Any = None) -> int:
    """The exit status of ``nsq_to_http``; see `nsqtools.shared.program.run_program`."""
    return startup.start("nsqtools.nsq_to_http.program:start", arguments, process)
