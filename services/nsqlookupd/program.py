"""One nsqlookupd: from the command line to the exit status."""

from nsqcore.app import service
from nsqlookupd.options import NsqlookupdOptions
from nsqlookupd.service import run


def start() -> int:
    """The exit status, after it has run until told to stop."""
    return service.main(
        "nsqlookupd", NsqlookupdOptions, run, reloads=lambda options: options.reads_again
    )
