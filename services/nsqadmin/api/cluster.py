"""The JSON API of nsqadmin, as scripts of the original know it.

Reads ask the cluster at once, not the collector: a script that has just changed something sees its
change. A daemon that failed is named in ``message``; when all failed the answer is 502.
"""

from quart import Blueprint

from nsqadmin.api.changes import add_changes
from nsqadmin.api.nodes import add_nodes
from nsqadmin.api.topics import add_topics
from nsqadmin.core.admin import Admin


def make_api(admin: Admin) -> Blueprint:
    """The routes below ``/api``."""
    api = Blueprint("api", __name__)
    add_topics(api, admin)
    add_nodes(api, admin)
    add_changes(api, admin)
    return api
