"""How an nsqd says it is: ``health`` of its statistics, and its ``/readyz``, if it has one."""

from nsqcore.classes import frozen
from nsqcore.cluster.upstream import Upstream, UpstreamError
from nsqcore.json import JsonError, decode
from nsqcore.readers import clean_text, number, text

# Below this share of free space a disk is nearly full.
LOW_DISK = 0.1
# Characters of a text, and texts, that a page has room for.
_LONGEST, _MOST = 200, 8


@frozen
class NsqdHealth:
    """What is wrong with an nsqd, in its own words; nothing where all is well."""

    problems: tuple[str, ...] = ()
    draining: bool = False
    disk_free: float | None = None  # share of the data path's file system

    @property
    def disk_low(self) -> bool:
        """Whether the disk is nearly full."""
        return self.disk_free is not None and self.disk_free < LOW_DISK

    @property
    def notes(self) -> tuple[str, ...]:
        """All that an operator should know, as texts."""
        notes = [*self.problems]
        if self.draining:
            notes.append("draining: it takes no new messages")
        if self.disk_free is not None and self.disk_low:
            notes.append(f"its disk is nearly full: {self.disk_free:.1%} left")
        return tuple(notes)


async def nsqd_health(upstream: Upstream, address: str, reported: str = "") -> NsqdHealth:
    """The health of the nsqd at ``address``.

    Args:
        reported: ``health`` of its statistics.

    Whatever it does not tell is taken to be well: that it does not answer shows elsewhere.
    """
    said = () if reported in ("", "OK") else (clean_text(reported, longest=_LONGEST),)
    try:
        probe = await upstream.probe(address, "/readyz")
        raw = decode(probe.body)
    except (UpstreamError, JsonError):
        return NsqdHealth(said)
    checks = raw.get("checks") if isinstance(raw, dict) else None
    if not isinstance(checks, dict):
        return NsqdHealth(said)
    draining = text(checks, "draining", longest=_LONGEST) not in ("", "ok")
    found = [
        f"{clean_text(name, longest=_LONGEST)}: {trouble}"
        for name in list(checks)[: 4 * _MOST]
        if name != "draining"
        and (trouble := text(checks, name, longest=_LONGEST)) not in ("", "ok")
    ][:_MOST]
    found += [item for item in said if not any(item in other for other in found)]
    free = number(raw, "disk_free") if isinstance(raw.get("disk_free"), int | float) else None
    return NsqdHealth(tuple(found), draining, free if free is None or 0 <= free <= 1 else None)
