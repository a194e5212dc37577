"""What nsqds say of themselves, in the reader's language: their health, and what topics promise.

Only what is said in so many words is known here; all else is shown as it was said.
"""

import re

from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqcore.cluster.health import NsqdHealth

_PROMISES = frozenset((N_("in memory"), N_("in the system's cache"), N_("on disk")))
_EVERY = re.compile(r"on disk every (\d{1,9}(?:\.\d{1,3})? ms)")


def notes(health: NsqdHealth) -> list[str]:
    """All that an operator should know of how an nsqd is."""
    found = [*health.problems]
    if health.draining:
        found.append(_("draining: it takes no new messages"))
    if health.disk_free is not None and health.disk_low:
        share = f"{health.disk_free:.1%}"
        found.append(_("its disk is nearly full: %(share)s left", share=share))
    return found


def promised(text: str) -> str:
    """Where a topic's messages are once they are acknowledged; nsqds may differ: ``… or …``."""
    return _(" or ").join(_promise(part) for part in text.split(" or "))


def _promise(text: str) -> str:
    if every := _EVERY.fullmatch(text):
        return _("on disk every %(time)s", time=every[1])
    return _(text) if text in _PROMISES else text
