"""What nsqlookupd says of topics, channels and nsqds."""

from typing import Any

from nsqclient.core.errors import HttpError
from nsqcore import readers
from nsqcore.addresses import join_host_port
from nsqcore.classes import frozen


@frozen
class Producer:
    """An nsqd as nsqlookupd knows it."""

    broadcast_address: str
    tcp_port: int
    http_port: int = 0
    hostname: str = ""
    version: str = ""

    @property
    def tcp_address(self) -> str:
        """Where its TCP clients connect."""
        return join_host_port(self.broadcast_address, self.tcp_port)


@frozen
class Found:
    """The channels of a topic and the nsqds that have it."""

    channels: list[str]
    producers: list[Producer]


def names(answer: dict[str, Any], key: str) -> list[str]:
    """The names of topics or channels under ``key``; an entry that can be none is left out.

    Raises:
        HttpError: there is no list: it is no answer of nsqlookupd.
    """
    _check_list(answer, key)
    return readers.names(answer, key)


def producers(answer: dict[str, Any]) -> list[Producer]:
    """The nsqds in an answer; an entry that nobody could dial is left out.

    Raises:
        HttpError: there is no list, so that it is no answer of nsqlookupd; or nobody in it could be
            dialled.
    """
    _check_list(answer, "producers")
    entries = answer["producers"] or []
    found = [_producer(entry) for entry in readers.objects(answer, "producers")]
    usable = [one for one in found if one.broadcast_address and one.tcp_port]
    if entries and not usable:
        raise HttpError(f"no producer can be dialled: {str(entries)[:100]}", status=200)
    return usable


def _producer(entry: readers.Json) -> Producer:
    return Producer(
        # Before 0.2.28 it was called address.
        readers.host(entry, "broadcast_address") or readers.host(entry, "address"),
        readers.port(entry, "tcp_port"),
        readers.port(entry, "http_port"),
        readers.text(entry, "hostname"),
        readers.version(entry, "version"),
    )


def _check_list(answer: dict[str, Any], key: str) -> None:
    # Go writes null for a list that was never made.
    if key not in answer or not isinstance(answer[key], list | None):
        text = f"not an answer of nsqlookupd: {str(answer)[:100]}"
        raise HttpError(text, status=200, wrong_server=True)
