"""What a page is drawn from: the snapshot, who looks, and the query of its URL.

A page is a function from a `View` (and the names in its path) to a `Page`; `render` makes
HTML of that, for the first answer and again for every live update. Such functions do no I/O and
never wait.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from nsqadmin.auth.principals import Principal
from nsqadmin.collect.history import RANGES, Entity
from nsqadmin.collect.snapshot import Snapshot
from nsqadmin.core.admin import Admin
from nsqadmin.drawing import charts
from nsqadmin.drawing.formats import path_part, percentile
from nsqadmin.drawing.graphite import DEFAULT_SPAN, SPANS, Graphite
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqcore.classes import field, frozen
from nsqcore.cluster.latency import Latency

_LABELS = {
    "rate": (N_("Messages per second"), "/s"),
    "depth": (N_("Depth"), ""),
    "in_flight": (N_("In flight"), ""),
    "clients": (N_("Consumers"), ""),
    "latency": (N_("Processing latency"), " ms"),
}


# The span of charts where nobody asks for another.
DEFAULT_RANGE = "30m"


class NoSuchPage(Exception):
    """What the URL names is not in the cluster; the text says so."""


@frozen
class Page:
    """What a template gets."""

    template: str
    title: str
    section: str  # of the navigation
    values: Mapping[str, Any] = field(factory=dict)
    updates: bool = True  # it is kept up to date while somebody looks


@frozen
class ChartCard:
    """A larger chart with its title and the number of now."""

    kind: str
    title: str
    svg: Markup


@frozen(eq=False)
class View:
    """One look at one page."""

    admin: Admin
    principal: Principal
    snapshot: Snapshot
    path: str  # without the base path
    arguments: Mapping[str, str]
    graph_span: str = ""  # of Graphite's pictures, as this browser chose it last

    @property
    def own_path(self) -> str:
        """The path of this page as URLs have it: no name in it can be taken for anything else."""
        return "/".join(path_part(part) for part in self.path.split("/"))

    @property
    def now(self) -> float:
        """When the snapshot was taken, in Unix seconds."""
        return self.snapshot.taken / 1e9

    @property
    def lookup_mode(self) -> bool:
        """Whether nsqlookupds are configured, rather than nsqds."""
        return bool(self.admin.options.nsqlookupd_http_addresses)

    @property
    def may(self) -> dict[str, bool]:
        """For each action whether this principal may do it, to some topic at least; on the page
        of a topic, to that."""
        topic = self.path.split("/")[2] if self.path.startswith("/topics/") else ""
        of_messages, of_policies = ("finish", "publish", "redrive"), ("set_policy", "delete_policy")
        verbs = (
            "pause",
            "empty",
            "create",
            "delete",
            "tombstone",
            *of_messages,
            *of_policies,
        )
        may = {verb: self._may(verb, topic) for verb in verbs}
        return {**may, "end_session": self.principal.may("end_session")}

    def _may(self, verb: str, topic: str) -> bool:
        principal = self.principal
        return principal.may(verb, topic) if topic else principal.may_somewhere(verb)

    def url(self, path: str, **query: str) -> str:
        """A URL of ours: ``path`` (from its first slash) behind the base path."""
        base = self.admin.options.base_path.rstrip("/")
        whole = (base + path) or "/"
        if path == "/" and base:
            whole = base
        return f"{whole}?{urlencode(query)}" if query else whole

    def topic_url(self, topic: str, **query: str) -> str:
        """The page of a topic."""
        return self.url(f"/topics/{path_part(topic)}", **query)

    def channel_url(self, topic: str, channel: str, **query: str) -> str:
        """The page of a channel."""
        return self.url(f"/topics/{path_part(topic)}/{path_part(channel)}", **query)

    def node_url(self, node: str, **query: str) -> str:
        """The page of an nsqd."""
        return self.url(f"/nodes/{path_part(node)}", **query)

    def action_url(self, verb: str, topic: str, channel: str = "", node: str = "") -> str:
        """The page that asks whether an action is meant."""
        query = {"topic": topic, "channel": channel, "node": node}
        return self.url(f"/action/{verb}", **{key: value for key, value in query.items() if value})

    def here(self, **changes: str) -> str:
        """This page with other query parameters; an empty value takes one away."""
        query = {**self.arguments, **changes}
        return self.url(self.own_path, **{key: value for key, value in query.items() if value})

    def others(self, *names: str) -> list[tuple[str, str]]:
        """The query parameters but for ``names``, for the hidden fields of a search form."""
        return [(key, value) for key, value in self.arguments.items() if key not in names]

    @property
    def span(self) -> str:
        """The span of time that charts show."""
        asked = self.arguments.get("range", "")
        return asked if asked in RANGES else DEFAULT_RANGE

    @property
    def spans(self) -> Sequence[str]:
        """The spans of time there are."""
        return tuple(RANGES)

    @property
    def graphite(self) -> Graphite:
        """Graphite, with the span that the URL asks for."""
        asked = self.arguments.get("t", "") or self.graph_span
        return Graphite(self.admin.options, asked if asked in SPANS else DEFAULT_SPAN)

    @property
    def graphite_spans(self) -> Sequence[str]:
        """The spans of time that Graphite's pictures may show."""
        return SPANS

    def spark(self, name: str, *entity: str) -> Markup:
        """A sparkline of one number of ``entity`` (as in `nsqadmin.collect.history`)."""
        values = self.admin.history.recent(entity, name, now=self.now)
        return charts.sparkline(values, name, _(_LABELS[name][0]))

    def cards(
        self, entity: Entity, names: Sequence[str], latency: Latency | None = None
    ) -> list[ChartCard]:
        """Larger charts of ``entity``; a number it does not have is left out.

        Args:
            latency: that of the entity now; its highest percentile is what the history has.
        """
        cards = []
        for name in names:
            points = self.admin.history.points(entity, name, self.span, now=self.now)
            if not points and name == "latency":
                continue
            label, unit = _LABELS[name]
            title = _(label)
            if name == "latency" and latency is not None and latency.percentiles:
                highest = max(item.quantile for item in latency.percentiles)
                title = _(
                    "%(title)s, %(percentile)s percentile",
                    title=title,
                    percentile=percentile(highest),
                )
            cards.append(ChartCard(name, title, charts.chart(points, name, title, unit)))
        return cards
