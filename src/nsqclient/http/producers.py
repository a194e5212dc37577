"""What nsqlookupd says of topics, channels and nsqds."""

from typing import Any

from attrs import frozen

from nsqclient.core.errors import HttpError
from nsqcore.addresses import join_host_port


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
    names = answer.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise HttpError(f"not a list of {key}: {str(names)[:100]}", status=200)
    return names


def producers(answer: dict[str, Any]) -> list[Producer]:
    entries = answer.get("producers") or []
    if not isinstance(entries, list):
        raise HttpError(f"not a list of producers: {str(entries)[:100]}", status=200)
    return [producer(entry) for entry in entries]


def producer(entry: object) -> Producer:
    if isinstance(entry, dict):
        host = entry.get("broadcast_address") or entry.get("address")
        tcp, http = entry.get("tcp_port"), entry.get("http_port", 0)
        if (
            isinstance(host, str)
            and isinstance(tcp, int)
            and isinstance(http, int)
            and 0 < tcp < 65536
        ):
            return Producer(
                host, tcp, http, str(entry.get("hostname", "")), str(entry.get("version", ""))
            )
    raise HttpError(f"not a producer: {str(entry)[:100]}", status=200)
