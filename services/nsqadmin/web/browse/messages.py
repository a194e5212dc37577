"""The message browser: what is in the queues of a topic or channel.

Pages are made from what nsqds say at this moment, and not kept up: messages move. Only nsqds that
have the topic are asked. Whoever may act chooses messages there, for `acting` and `redriving`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from quart import Response, g, request
from quart_trio import QuartTrio

from nsqadmin.actions.messages import MESSAGE_VERBS, nodes_of
from nsqadmin.actions.perform import upstream_error
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.drawing.bodies import show, snippet
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page, View
from nsqadmin.web.browse.place import BUTTONS, Place, allow_reading
from nsqadmin.web.forms import form_page
from nsqadmin.web.pages import Pages, html
from nsqcore.cluster.each.messages import MessagePage, get_message, list_everywhere
from nsqcore.cluster.upstream import AllFailed
from nsqcore.names import is_dead_letter_topic
from nsqcore.readers import count, text

STATES = {
    "queued": N_("Queued"),
    "in_flight": N_("In flight"),
    "deferred": N_("Deferred"),
    "dead": N_("Dead"),
    "log": N_("Log"),
}
_ID = re.compile(r"[0-9a-f]{16}")
# Messages of one nsqd on a page.
PER_NODE = 25
_FILTERS = ("contains", "id", "min_age", "max_age")


def add_messages(app: QuartTrio, admin: Admin, pages: Pages) -> None:
    """Route ``/messages`` and ``/message``."""
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/messages")
    async def browse_messages() -> Response:
        allow_reading(g.principal, Place.of(request.args))
        return await _browse(admin, pages, Place.of(request.args), request.args.to_dict())

    @app.get(f"{base}/message")
    async def one_message() -> Response:
        allow_reading(g.principal, Place.of(request.args))
        return await _one(admin, pages, Place.of(request.args), request.args.to_dict())


async def _browse(admin: Admin, pages: Pages, place: Place, given: Mapping[str, str]) -> Response:
    state = given.get("state", "")
    state = state if state in STATES else "queued"
    filters = {name: given.get(name, "").strip() for name in _FILTERS}
    params = {**place.params, "state": state, "body": "text", "max_body": "400"}
    params |= {name: value for name, value in filters.items() if value}
    params |= {"limit": str(PER_NODE)}
    nodes = await nodes_of(admin, place.topic)
    node, cursor = given.get("node", ""), given.get("next", "")
    asked = [each for each in nodes if node in ("", each)]
    if cursor and node:
        params["next"] = cursor
    problems: list[str] = []
    found: list[Any] = []
    if asked:
        try:
            answer = await list_everywhere(admin.upstream, asked, params)
            found, problems = answer.value, [str(failure) for failure in answer.failures]
        except AllFailed as error:
            problems = [str(failure) for failure in error.failures]
    view = pages.view(g.principal, "/", {})
    rows = [_row(page, message) for page in found for message in page.messages]
    letters = _dead_letters(place, state, found, rows)

    values = {
        "place": place,
        "state": state,
        "states": STATES,
        "buttons": BUTTONS,
        "filters": filters,
        "rows": rows,
        "total": sum(page.total for page in found),
        "more": [(page.node, page.next) for page in found if page.next],
        "scanned": sum(page.scanned for page in found),
        "problems": problems,
        "nodes": nodes,
        "verbs": [v for v in MESSAGE_VERBS if place.channel or v in ("finish", "copy")],
        "letters": letters,
        "letter_channels": _channels(admin, letters) if state == "dead" else [],
        "link": _link(view, place, {"state": state, **filters}),
        "here": f"{place.name} messages",
    }
    page = Page("messages.html", _("Messages of %(name)s", name=place.name), "", values)
    return form_page(admin, pages, view, page)


def _dead_letters(
    place: Place, state: str, found: Sequence[MessagePage], rows: Sequence[Mapping[str, Any]]
) -> Place | None:
    """Where what the page shows can be redriven from, if it is dead letters."""
    if state == "dead":
        return Place(found[0].topic, "") if found else None
    told = is_dead_letter_topic(place.topic) or any(row["died"] for row in rows)
    return place if told and state in ("queued", "deferred", "in_flight") else None


def _channels(admin: Admin, letters: Place | None) -> list[str]:
    """The channels of the dead-letter topic: what is in them is on their own pages."""
    topic = admin.collector.snapshot.topics.get(letters.topic) if letters else None
    return [channel.channel_name for channel in topic.channels] if topic else []


def _link(view: View, place: Place, kept: Mapping[str, str]) -> Any:
    def link(**changes: str) -> str:
        query = {**place.params, **kept, **changes}
        return view.url("/messages", **{name: value for name, value in query.items() if value})

    return link


def _row(page: MessagePage, message: Mapping[str, Any]) -> dict[str, Any]:
    """What a row shows: only what it knows of, as an nsqd may say anything."""
    body = snippet(text(message, "body"), text(message, "encoding"))
    numbers = ("size", "attempts", "timestamp", "due")
    return {
        **{name: count(message, name) for name in numbers},
        **{name: text(message, name) for name in ("id", "client", "client_id")},
        "node": page.node,
        "topic": page.topic,
        "snippet": body,
        "died": _died(message),
    }


def _died(message: Mapping[str, Any]) -> str:
    """Why and where a dead letter died, by its headers; empty for other messages."""
    headers = message.get("headers")
    if not isinstance(headers, dict) or not headers.get("nsq-dead-topic"):
        return ""
    told = {name: text(headers, f"nsq-dead-{name}") for name in ("reason", "topic", "channel")}
    error = text(headers, "nsq-dead-error")
    where = _("%(reason)s in %(topic)s/%(channel)s", **told)
    return where + (f": {error}" * bool(error))


async def _one(admin: Admin, pages: Pages, place: Place, given: Mapping[str, str]) -> Response:
    nodes = await nodes_of(admin, place.topic)
    node, id = given.get("node", ""), given.get("id", "")
    asked = [each for each in nodes if node in ("", each)]
    if not asked or not _ID.fullmatch(id):
        raise Refused(404, _("The message is not there any more."))
    try:
        answer = await get_message(admin.upstream, asked, {**place.params, "id": id})
    except AllFailed as error:
        raise upstream_error(error) from error
    if answer.value is None:
        raise Refused(404, _("The message is not there any more."))
    if "download" in given:
        response = Response(answer.value, content_type="application/octet-stream")
        name = "".join(c for c in id if c.isalnum())
        response.headers["Content-Disposition"] = f'attachment; filename="{name}.bin"'
        return response
    view = pages.view(g.principal, "/", {})
    values = {
        "place": place,
        "node": node,
        "id": id,
        "size": len(answer.value),
        "shown": show(answer.value),
        "query": {**place.params, "node": node, "id": id},
        "back": view.url("/messages", **place.params),
    }
    page = Page("onemessage.html", _("Message %(id)s", id=id), "", values)
    return html(pages.renderer.page(view, page))
