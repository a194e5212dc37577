"""Numbers and times as people read them; the filters of the templates.

Pure functions from values to text. Thousands have commas, durations are those of the original
(`1h2m3.45s`, `12.5ms`), rates get as many digits as still mean something.
"""

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from nsqadmin.language.spoken import N2_, N_, ngettext
from nsqadmin.language.spoken import gettext as _

_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_ORDINALS = {
    "st": N_("%(number)sst"),
    "nd": N_("%(number)snd"),
    "rd": N_("%(number)srd"),
    "th": N_("%(number)sth"),
}
# What pages count: one, and many.
COUNTED = {
    "byte": N2_("%(count)s byte", "%(count)s bytes"),
    "channel": N2_("%(count)s channel", "%(count)s channels"),
    "channel idle": N2_("%(count)s channel idle", "%(count)s channels idle"),
    "channel paused": N2_("%(count)s channel paused", "%(count)s channels paused"),
    "client": N2_("%(count)s client", "%(count)s clients"),
    "client missing": N2_(
        "%(count)s more client is connected; the nodes are asked for their lists in turn.",
        "%(count)s more clients are connected; the nodes are asked for their lists in turn.",
    ),
    "daemon silent": N2_("%(count)s daemon does not answer.", "%(count)s daemons do not answer."),
    "message": N2_("%(count)s message", "%(count)s messages"),
    "message sent back": N2_("%(count)s message sent back", "%(count)s messages sent back"),
    "node": N2_("%(count)s node", "%(count)s nodes"),
    "node unwell": N2_("%(count)s node needs attention.", "%(count)s nodes need attention."),
    "topic": N2_("%(count)s topic", "%(count)s topics"),
}


def commas(value: float) -> str:
    """``1234567`` as ``1,234,567``."""
    return f"{int(value):,}"


def short(value: float) -> str:
    """A number in little room: ``987``, ``12.3k``, ``4.5M``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            size = limit / 10 if unit == "k" else limit
            return (
                f"{value / size:.3g}{unit}" if value / size < 1000 else f"{value / size:.0f}{unit}"
            )
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.1f}"


def rate(value: float) -> str:
    """Messages per second: ``0``, ``0.2``, ``12.5``, ``1,234``."""
    if value < 0.05:
        return "0"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def nanoseconds(value: float) -> str:
    """A duration in nanoseconds: ``1h2m3.45s``, ``12.5ms``, ``980ns``."""
    left = max(0, int(value))
    shown = ""
    for unit, size in (("h", 3_600_000_000_000), ("m", 60_000_000_000)):
        if left >= size:
            count, left = divmod(left, size)
            shown += f"{count}{unit}"
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if left >= size:
            return f"{shown}{round(left / size, 2):g}{unit}"
    return shown if shown and not left else f"{shown}{left}ns"


def moment(value: float) -> str:
    """A time in nanoseconds since 1970, in UTC: ``2026-11-30 12:00:01``; empty where there is none
    that a calendar has."""
    try:
        found = datetime.fromtimestamp(value / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{found:%Y-%m-%d %H:%M:%S}"


def short_duration(milliseconds: float) -> str:
    """A duration in little room: ``250us``, ``1.5ms``, ``30s``, ``41.7m``, ``2.5h``, ``3d``."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        if milliseconds >= size:
            number = milliseconds / size
            return f"{number:.3g}{unit}" if number < 1000 else f"{number:.0f}{unit}"
    return f"{milliseconds * 1000:.3g}us"


def seconds(value: float) -> str:
    """A duration in whole seconds: ``45s``, ``3m20s``, ``5h12m``, ``9d4h``."""
    left = max(0, int(value))
    for unit, size, below, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if left >= size:
            count, rest = divmod(left, size)
            return f"{count}{unit}{rest // part}{below}" if rest // part else f"{count}{unit}"
    return f"{left}s"


def percentile(quantile: float) -> str:
    """A quantile's name: ``0.99`` as ``99th``, ``0.999`` as ``99.9th``, ``1`` as ``max``."""
    if quantile >= 1:
        return _("max")
    percent = round(quantile * 100, 4)
    shown = f"{percent:g}"
    whole = int(percent)
    is_th = percent % 1 or whole % 100 in (11, 12, 13)
    ending = "th" if is_th else _ENDINGS.get(whole % 10, "th")
    return _(_ORDINALS[ending], number=shown)


def percent(part: float, whole: float) -> str:
    """A share: ``12.5%``."""
    return f"{part / whole * 100:.1f}%" if whole else "0%"


def plural(count: int, word: str) -> str:
    """``1 topic``, ``2,000 topics``; ``word`` is a key of `COUNTED`."""
    return ngettext(*COUNTED[word], count, count=commas(count))


def path_part(value: str) -> str:
    """A name as one segment of a URL's path."""
    return quote(value, safe="")


@lru_cache(maxsize=20_000)
def slot(key: str) -> str:
    """A short name for ``key`` that is safe anywhere in HTML."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


_SAFE_LINK = re.compile(r"https?://", re.IGNORECASE)


def web_link(value: str) -> str:
    """``value`` if it is a web address, else nothing: a link must never carry a script."""
    return value if _SAFE_LINK.match(value) else ""
