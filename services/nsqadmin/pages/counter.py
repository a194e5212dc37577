"""The page that counts messages."""

from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page, View


def counter(view: View) -> Page:
    """How many messages all channels have been given."""
    topics = view.snapshot.topics.values()
    channels = [channel for topic in topics for channel in topic.channels]
    values = {
        "messages": sum(channel.message_count for channel in channels),
        "rate": sum(channel.rate for channel in channels),
        "cards": view.cards(("cluster",), ("rate", "depth", "in_flight")),
    }
    return Page("counter.html", _("Counter"), "counter", values)
