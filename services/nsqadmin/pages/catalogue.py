"""The pages of the site.

`PAGES` is the one list: a rule, the function that makes the page, and what the query of its URL may
say. Whatever else stands in a query is as if it were not there.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from nsqadmin.collect.history import RANGES
from nsqadmin.drawing.graphite import SPANS
from nsqadmin.pages.counter import counter
from nsqadmin.pages.frame.view import DEFAULT_RANGE, Page
from nsqadmin.pages.nodes.lookup import INACTIVE, lookup
from nsqadmin.pages.nodes.node import NODE_TOPICS, node
from nsqadmin.pages.nodes.nodes import NODES, nodes
from nsqadmin.pages.nodes.topology import QUERY, topology
from nsqadmin.pages.tables.clients import CLIENTS
from nsqadmin.pages.tables.listing import Table
from nsqadmin.pages.topics import channels as all_channels
from nsqadmin.pages.topics import topics as all_topics
from nsqadmin.pages.topics.channel import CHANNEL_HOSTS, channel
from nsqadmin.pages.topics.channels import CHANNELS, channels
from nsqadmin.pages.topics.topic import TOPIC_CHANNELS, TOPIC_HOSTS, topic
from nsqadmin.pages.topics.topics import TOPICS, topics
from nsqcore.classes import frozen

# Parameters that any page may have, and their values: the spans of our charts and of Graphite's.
_SPANS: Mapping[str, Collection[str]] = {
    "range": frozenset(RANGES) - {DEFAULT_RANGE},
    "t": frozenset(SPANS),
}


@frozen(eq=False)
class PageRule:
    """A page: where it is, what makes it, its tables, and the filters that ``show`` names."""

    rule: str
    make: Callable[..., Page]
    tables: tuple[Table[Any], ...] = ()
    filters: Collection[str] = ()

    def arguments(self, given: Mapping[str, str]) -> dict[str, str]:
        """What this page understands of a URL's parameters; equal for URLs that show the same."""
        found = {
            name: given[name]
            for name, values in {**_SPANS, "show": self.filters}.items()
            if given.get(name) and given[name] in values
        }
        for table in self.tables:
            found |= table.arguments(given)
        return found


PAGES: tuple[PageRule, ...] = (
    PageRule("/", topics, (TOPICS,), all_topics.FILTERS),
    PageRule("/topics", topics, (TOPICS,), all_topics.FILTERS),
    PageRule("/topics/<topic>", topic, (TOPIC_HOSTS, TOPIC_CHANNELS)),
    PageRule("/topics/<topic>/<channel>", channel, (CHANNEL_HOSTS, CLIENTS)),
    PageRule("/channels", channels, (CHANNELS,), all_channels.FILTERS),
    PageRule("/nodes", nodes, (NODES,)),
    PageRule("/nodes/<node>", node, (NODE_TOPICS, CLIENTS)),
    PageRule("/topology", topology, (QUERY,)),
    PageRule("/counter", counter),
    PageRule("/lookup", lookup, (INACTIVE,)),
)

_MAP = Map([Rule(page.rule, endpoint=str(index)) for index, page in enumerate(PAGES)])


def find_page(path: str) -> tuple[PageRule, dict[str, str]] | None:
    """The page at ``path`` (without the base path) and the names in it; None if there is none."""
    try:
        endpoint, names = _MAP.bind("").match(path, method="GET")
    except HTTPException:
        return None
    return PAGES[int(endpoint)], dict(names)
