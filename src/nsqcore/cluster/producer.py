"""An nsqd as the cluster knows it: addresses, version, place, topics.

Made from what nsqlookupd lists (`/nodes`, `/lookup`) or from what the nsqd says of itself
(`/info`). Nothing here does I/O.
"""

import re
from itertools import zip_longest
from typing import Any

import attrs

from nsqcore.addresses import join_host_port
from nsqcore.classes import frozen
from nsqcore.readers import Json, host, is_name, port, text, version

# Semantic Versioning 2.0.0; build metadata does not order versions.
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
VersionKey = tuple[int, int, int, bool, tuple[tuple[int, int, str], ...]]


@frozen
class ProducerTopic:
    """A topic that an nsqd has registered."""

    topic: str
    tombstoned: bool = False


@frozen(kw_only=True)
class Producer:
    """One nsqd."""

    broadcast_address: str
    http_port: int
    tcp_port: int = 0
    hostname: str = ""
    version: str = ""
    topology_region: str = ""
    topology_zone: str = ""
    remote_address: str = ""
    remote_addresses: tuple[str, ...] = ()  # "lookupd/its view of the nsqd", one per nsqlookupd
    topics: tuple[ProducerTopic, ...] = ()
    out_of_date: bool = False

    @classmethod
    def from_json(cls, raw: Json) -> "Producer":
        """One entry of nsqlookupd's ``producers``, or an nsqd's ``/info``.

        Where a host or a port cannot be one, there is none.
        """
        listed, tombstones = raw.get("topics"), raw.get("tombstones")
        marks = tombstones if isinstance(tombstones, list) else []
        topics = (
            ProducerTopic(topic, mark is True)
            for topic, mark in zip_longest(listed if isinstance(listed, list) else [], marks)
            if is_name(topic)
        )
        return cls(
            broadcast_address=host(raw, "broadcast_address"),
            http_port=port(raw, "http_port"),
            tcp_port=port(raw, "tcp_port"),
            hostname=text(raw, "hostname"),
            version=version(raw, "version"),
            topology_region=text(raw, "topology_region"),
            topology_zone=text(raw, "topology_zone"),
            remote_address=text(raw, "remote_address"),
            topics=tuple(sorted(topics, key=lambda item: item.topic)),
        )

    @property
    def http_address(self) -> str:
        """Where its HTTP API is reached; also its name on pages."""
        return join_host_port(self.broadcast_address, self.http_port)

    @property
    def tcp_address(self) -> str:
        """Where its clients connect."""
        return join_host_port(self.broadcast_address, self.tcp_port)

    def to_json(self) -> dict[str, Any]:
        """The shape of nsqadmin's API."""
        shown: dict[str, Any] = {
            "remote_addresses": list(self.remote_addresses) or None,
            "remote_address": self.remote_address,
            "hostname": self.hostname,
            "broadcast_address": self.broadcast_address,
            "tcp_port": self.tcp_port,
            "http_port": self.http_port,
            "version": self.version,
            "topics": [attrs.asdict(topic) for topic in self.topics] or None,
            "out_of_date": self.out_of_date,
        }
        for key in ("topology_zone", "topology_region"):
            if value := getattr(self, key):
                shown[key] = value
        return shown


def version_key(told: str) -> VersionKey:
    """A key that orders versions; what is no version comes first."""
    match = _VERSION.fullmatch(told)
    if match is None:
        return (0, 0, 0, True, ())
    major, minor, patch, before = match.groups()
    parts = tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in (before.split(".") if before else ())
    )
    return (int(major), int(minor), int(patch), not before, parts)


def merge_producers(listed: list[tuple[str, list[Producer]]]) -> list[Producer]:
    """Every nsqd once, by host name, from the lists of several nsqlookupd.

    Each carries the nsqlookupd that know it; those older than the newest are out of date.
    """
    found: dict[str, Producer] = {}
    remotes: dict[str, list[str]] = {}
    for lookupd, producers in listed:
        for producer in producers:
            key = producer.tcp_address
            found.setdefault(key, producer)
            remotes.setdefault(key, []).append(f"{lookupd}/{producer.remote_address or 'N/A'}")
    newest = max((version_key(item.version) for item in found.values()), default=version_key(""))
    merged = [
        attrs.evolve(
            item,
            remote_addresses=tuple(remotes[key]),
            out_of_date=version_key(item.version) < newest,
        )
        for key, item in found.items()
    ]
    return sorted(merged, key=lambda item: item.hostname)
