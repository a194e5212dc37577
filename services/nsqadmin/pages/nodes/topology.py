"""The page with the drawing of the cluster."""

from typing import Any

from nsqadmin.drawing.topology import lay_out
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page, View
from nsqadmin.pages.tables.listing import Table

# It has a search like a table's; how the boxes are ordered is the drawing's affair.
QUERY: Table[Any] = Table(columns={"name": lambda box: box}, text=lambda box: "")


def topology(view: View) -> Page:
    """The cluster, drawn."""
    query = view.arguments.get("q", "")
    drawing = lay_out(view.snapshot, query)
    return Page("topology.html", _("Topology"), "topology", {"drawing": drawing, "query": query})
