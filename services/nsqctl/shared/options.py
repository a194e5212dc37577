"""What several commands take on their command line, and the values they accept there.

Imports nothing that takes long: every command waits for this, also one that only prints its help.
"""

import argparse
import os

from nsqcore.access.file import check_name, parse_roles
from nsqcore.access.lines import parse_topics
from nsqcore.addresses import AddressError, is_host, join_host_port, parse_host_port
from nsqcore.redaction import redact

# Where `nsqctl up` and the compose file put the first nsqlookupd.
DEFAULT_LOOKUPD = "127.0.0.1:4161"
LOOKUPD_VARIABLE = "NSQCTL_LOOKUPD_HTTP_ADDRESS"
TOKEN_VARIABLE, TOKEN_FILE_VARIABLE = "NSQCTL_TOKEN", "NSQCTL_TOKEN_FILE"

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
        type=web_address,
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
    add_credentials(parser)


def add_credentials(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is shown to daemons, and whom of them to trust."""
    parser.add_argument(
        "--token-file",
        default=os.environ.get(TOKEN_FILE_VARIABLE, ""),
        metavar="FILE",
        help="what daemons may ask for (see nsqctl token), in its first line;"
        f" ${TOKEN_FILE_VARIABLE}, or the token itself in ${TOKEN_VARIABLE}",
    )
    for name, about in (
        ("root-ca-file", "the authorities that vouch for daemons (the system's)"),
        ("cert", "a certificate to show to daemons"),
        ("key", "its key"),
    ):
        variable = f"NSQCTL_TLS_{name.replace('-', '_').upper()}"
        parser.add_argument(
            f"--tls-{name}",
            default=os.environ.get(variable, ""),
            metavar="FILE",
            help=f"{about}; ${variable}",
        )


def default_lookupds() -> list[str]:
    """The nsqlookupds that are asked when no option names any. Raises ArgumentTypeError."""
    named = os.environ.get(LOOKUPD_VARIABLE, "").split(",")
    return [web_address(text) for text in named if text.strip()] or [DEFAULT_LOOKUPD]


def address(text: str) -> str:
    """``host:port``, also where it was given as a URL."""
    try:
        host, port = parse_host_port(text.strip().removeprefix("http://").rstrip("/"))
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not is_host(host):
        raise argparse.ArgumentTypeError(f"{redact(text)} is not HOST:PORT")
    return join_host_port(host, port)


def web_address(text: str) -> str:
    """An `address`, which keeps its ``https://``."""
    scheme, _, rest = text.strip().rpartition("https://")
    return address(text) if scheme or rest == text.strip() else f"https://{address(rest)}"


def token_name(text: str) -> str:
    """A name that a line of ``--auth-file`` can begin with."""
    try:
        return check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def token_roles(text: str) -> tuple[str, ...]:
    """Roles of a token, separated by commas."""
    words = tuple(text.split(","))
    try:
        parse_roles(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return words


def topic_globs(text: str) -> tuple[str, ...]:
    """Patterns of topics, separated by commas."""
    try:
        return parse_topics(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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


def header(text: str) -> tuple[str, str]:
    """A header of a message, ``NAME=VALUE``."""
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
