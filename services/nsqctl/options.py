"""What several commands take on their command line, and the values they accept there.

Imports nothing that takes long: every command waits for this, also one that only prints its help.
"""

import argparse
import os

from nsqcore.addresses import AddressError, is_host, join_host_port, parse_host_port
from nsqcore.redaction import redact

# Where `nsqctl up` and the compose file put the first nsqlookupd.
DEFAULT_LOOKUPD = "127.0.0.1:4161"
LOOKUPD_VARIABLE = "NSQCTL_LOOKUPD_HTTP_ADDRESS"

# Actions that cannot be undone: they ask first.
DESTRUCTIVE = ("delete", "empty", "tombstone")

# Ten bits of a message id tell the nsqd.
MAX_NSQD = 1023


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a cluster: nsqlookupds that know its nsqds, or the nsqds."""
    cluster = parser.add_mutually_exclusive_group()
    cluster.add_argument(
        "--lookupd-http-address",
        action="append",
        type=address,
        metavar="HOST:PORT",
        help=f"an nsqlookupd (repeatable); ${LOOKUPD_VARIABLE}, separated by commas;"
        f" {DEFAULT_LOOKUPD}",
    )
    cluster.add_argument(
        "--nsqd-http-address",
        action="append",
        type=address,
        metavar="HOST:PORT",
        help="an nsqd, instead of asking nsqlookupd for them (repeatable)",
    )
    parser.add_argument(
        "--timeout", type=positive, default=5.0, metavar="SECONDS", help="for each request (5)"
    )


def default_lookupds() -> list[str]:
    """The nsqlookupds that are asked when no option names any. Raises ArgumentTypeError."""
    named = os.environ.get(LOOKUPD_VARIABLE, "").split(",")
    return [address(text) for text in named if text.strip()] or [DEFAULT_LOOKUPD]


def address(text: str) -> str:
    """``host:port``, also where it was given as a URL."""
    try:
        host, port = parse_host_port(text.strip().removeprefix("http://").rstrip("/"))
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not is_host(host):
        raise argparse.ArgumentTypeError(f"{redact(text)} is not HOST:PORT")
    return join_host_port(host, port)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not 0 < value < float("inf"):  # also what is not a number
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def count(text: str) -> int:
    """A whole number above 0."""
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def members(text: str) -> int:
    """How many nsqd a cluster may have."""
    value = _whole(text)
    if not 1 <= value <= MAX_NSQD:
        raise argparse.ArgumentTypeError(f"between 1 and {MAX_NSQD}")
    return value


def size(text: str) -> int:
    """The size of a message that carries the time it was sent, in bytes."""
    value = _whole(text)
    if value < 8:
        raise argparse.ArgumentTypeError("at least 8: a message carries the time it was sent")
    return value
