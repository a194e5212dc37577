"""Checks of settings that several utilities make; each raises `OptionsError`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from nsqclient.connection.stream import check_address
from nsqclient.http.api import check_url
from nsqcore.app.config.options import OptionsError
from nsqcore.names import is_valid_name


def require(condition: object, message: str) -> None:
    """Refuse settings with which the utility cannot run."""
    if not condition:
        raise OptionsError(message)


def one_kind_of_address(
    nsqds: Sequence[str], lookupds: Sequence[str], *, flag: str = "nsqd-tcp-address"
) -> None:
    """Refuse settings that name no daemon to ask, or two kinds of them."""
    require(nsqds or lookupds, f"--{flag} or --lookupd-http-address required")
    require(not nsqds or not lookupds, f"use --{flag} or --lookupd-http-address not both")


def check_topics(topics: Sequence[str], flag: str = "topic") -> None:
    """Refuse topics that no nsqd accepts."""
    for topic in topics:
        require(is_valid_name(topic), f"--{flag}: {topic!r} is not a valid topic name")


def check_addresses(addresses: Sequence[str], flag: str) -> None:
    """Refuse addresses that cannot be dialled."""
    for address in addresses:
        with naming(flag):
            check_address(address)


def check_http_addresses(addresses: Sequence[str], flag: str = "lookupd-http-address") -> None:
    """Refuse addresses to which no HTTP request can be sent."""
    for address in addresses:
        with naming(flag):
            check_url(address)


class HttpTimeouts(Protocol):
    """The settings of a utility that makes HTTP requests."""

    @property
    def http_client_connect_timeout(self) -> float: ...
    @property
    def http_client_request_timeout(self) -> float: ...


def check_http_timeouts(options: HttpTimeouts) -> None:
    """Refuse timeouts in which nothing can happen."""
    for flag in ("connect", "request"):
        timeout = getattr(options, f"http_client_{flag}_timeout")
        require(timeout > 0, f"--http-client-{flag}-timeout should be positive")


@contextmanager
def naming(flag: str) -> Iterator[None]:
    """Turn a ValueError into an `OptionsError` that names the flag."""
    try:
        yield
    except ValueError as error:
        raise OptionsError(f"--{flag}: {error}") from error
