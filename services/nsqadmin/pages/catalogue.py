"""The pages of the site: `PAGES` is the one list of rules and the functions that make pages."""

from collections.abc import Callable

from nsqadmin.pages.nodes import counter, lookup, node, nodes
from nsqadmin.pages.topics import channel, topic, topics
from nsqadmin.pages.topology import topology
from nsqadmin.pages.view import Page

PageMaker = Callable[..., Page]

PAGES: tuple[tuple[str, PageMaker], ...] = (
    ("/", topics),
    ("/topics", topics),
    ("/topics/<topic>", topic),
    ("/topics/<topic>/<channel>", channel),
    ("/nodes", nodes),
    ("/nodes/<node>", node),
    ("/topology", topology),
    ("/counter", counter),
    ("/lookup", lookup),
)
