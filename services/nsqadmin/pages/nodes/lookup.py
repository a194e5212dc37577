"""The page of the nsqlookupds."""

from nsqadmin.collect.order import natural
from nsqadmin.collect.snapshot import LookupdState
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page, View
from nsqadmin.pages.tables.listing import Table
from nsqcore.classes import frozen


@frozen(eq=False)
class InactiveTopic:
    """A topic that nsqlookupd remembers though nobody produces it."""

    name: str
    channels: tuple[str, ...]


INACTIVE: Table[InactiveTopic] = Table(
    columns={"name": lambda row: natural(row.name), "channels": lambda row: len(row.channels)},
    text=lambda row: " ".join([row.name, *row.channels]),
)


def lookup(view: View) -> Page:
    """The nsqlookupds, and what they remember that nobody produces."""
    inactive = [InactiveTopic(name, found) for name, found in view.snapshot.inactive.items()]
    rows = INACTIVE.listing(inactive, view.arguments)
    lookupds: tuple[LookupdState, ...] = view.snapshot.lookupds
    values = {"lookupds": lookupds, "inactive": rows, "nodes": len(view.snapshot.nodes)}
    return Page("lookup.html", _("Lookup"), "lookup", values)
