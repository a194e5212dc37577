"""Which language a browser wants: the one chosen here, else the first it asks for that we have."""

import re
from collections.abc import Collection

from nsqadmin.language.catalogue import ENGLISH

# Languages of a header that are looked at; browsers send less than ten.
_MOST = 32
_QUALITY = re.compile(r"q=([01](?:\.\d{0,3})?)")


def wanted(chosen: str, header: str, known: Collection[str]) -> str:
    """The tag of ``known`` to speak.

    Args:
        chosen: what a cookie or a parameter says; nothing where it is no tag of ``known``.
        header: an ``Accept-Language`` (RFC 9110, 12.5.4); what is not understood of it is left out.
    """
    if chosen in known:
        return chosen
    for tag in _accepted(header):
        if tag == "*":
            break
        if (found := _nearest(tag, known)) is not None:
            return found
    return ENGLISH.tag


def _accepted(header: str) -> list[str]:
    """The tags of a header, in small letters, the one most wanted first."""
    found: list[tuple[float, str]] = []
    for item in header.lower().split(",", _MOST)[:_MOST]:
        tag, _, parameter = item.partition(";")
        quality = _QUALITY.fullmatch(parameter.replace(" ", "")) if parameter else None
        weight = float(quality[1]) if quality else 0.0 if parameter else 1.0
        if weight > 0:
            found.append((weight, tag.strip()))
    return [tag for _, tag in sorted(found, key=lambda pair: -pair[0])]


def _nearest(tag: str, known: Collection[str]) -> str | None:
    """The tag of ``known`` that has most of ``tag``, at least its language: zh-Hans for zh-CN."""
    parts = tag.split("-")

    def shared(other: str) -> int:
        common = 0
        for mine, theirs in zip(parts, other.lower().split("-"), strict=False):
            if mine != theirs:
                break
            common += 1
        return common

    best = max(known, key=shared)
    return best if shared(best) else None
