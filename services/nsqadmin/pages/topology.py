"""The page with the drawing of the cluster."""

from nsqadmin.drawing.topology import lay_out
from nsqadmin.pages.view import Page, View


def topology(view: View) -> Page:
    """The cluster, drawn."""
    query = view.arguments.get("q", "").strip()[:200]
    drawing = lay_out(view.snapshot, query)
    return Page("topology.html", "Topology", "topology", {"drawing": drawing, "query": query})
