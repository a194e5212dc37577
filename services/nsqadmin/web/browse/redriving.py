"""Redriving dead letters: a page that asks, with how many there are, and one that says how it went.

Those that were chosen, the oldest so many of each nsqd, or all.
"""

from collections.abc import Mapping, Sequence

from quart import Response, g, request
from quart_trio import QuartTrio

from nsqadmin.actions.messages import MOST
from nsqadmin.actions.perform import allow
from nsqadmin.actions.redriving import RedriveAction, RedriveResult, perform_redrive
from nsqadmin.auth.refused import Refused
from nsqadmin.collect.snapshot import Snapshot, total_depth
from nsqadmin.core.admin import Admin
from nsqadmin.drawing.formats import commas, plural
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page
from nsqadmin.web.browse.place import Place, read_picks
from nsqadmin.web.forms import form_page, posted_form
from nsqadmin.web.pages import Pages, html
from nsqadmin.web.requests import origin_of

_MAX_DIGITS = 9


def add_redriving(app: QuartTrio, admin: Admin, pages: Pages) -> None:
    """Route ``/messages/redrive``."""
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/messages/redrive")
    async def ask_redrive() -> Response:
        picks = request.args.getlist("pick")
        return _ask(admin, pages, request.args, picks)

    @app.post(f"{base}/messages/redrive")
    async def redrive() -> Response:
        form = await posted_form(admin)
        picks = form.getlist("pick")
        try:
            action = _action(form, picks)
            result = await perform_redrive(admin, action, origin_of(request), now=admin.now)
        except Refused as error:
            if error.status == 403:
                raise
            return _ask(admin, pages, form, picks, str(error))
        await admin.collector.refresh()
        return _report(pages, action, result)


def _action(fields: Mapping[str, str], picks: Sequence[str]) -> RedriveAction:
    """Raises Refused where nobody may do it, or it is not said what."""
    place, limit = Place.of(fields), fields.get("limit", "").strip()
    chosen = fields.get("which", "") != "all"
    action = RedriveAction(
        topic=place.topic,
        channel=place.channel,
        picked=read_picks(picks[:MOST]) if chosen else (),
        limit=int(limit) if limit.isascii() and limit.isdecimal() and not chosen else 0,
        to_topic=fields.get("to", "") == "topic",
    )
    allow(g.principal, action.whole, right="redrive")
    if limit and (not limit.isascii() or not limit.isdecimal() or len(limit) > _MAX_DIGITS):
        raise Refused(400, _("How many is a number."))
    if chosen and not action.picked:
        raise Refused(400, _("Choose some messages first."))
    return action


def _ask(
    admin: Admin, pages: Pages, fields: Mapping[str, str], picks: Sequence[str], error: str = ""
) -> Response:
    view, place = pages.view(g.principal, "/", {}), Place.of(fields)
    try:
        action = _action(fields, picks)
    except Refused as refused:
        if refused.status == 403:
            raise
        action = RedriveAction(topic=place.topic, channel=place.channel)
        error = error or str(refused)
    chosen = fields.get("which", "") != "all"

    values = {
        "action": action,
        "place": place,
        "chosen": chosen,
        "waiting": _waiting(admin.collector.snapshot, place),
        "error": error,
        "back": view.url("/messages", **place.params),
    }
    page = Page("redrive.html", _("Redrive dead letters"), "", values)
    return form_page(admin, pages, view, page, 400 if error else 200)


def _waiting(snapshot: Snapshot, place: Place) -> int:
    """How many dead letters there are, as far as is known now."""
    if place.channel:
        channel = snapshot.channel(place.topic, place.channel)
        return channel.depth if channel else 0
    topic = snapshot.topics.get(place.topic)
    return total_depth(topic) if topic else 0


def _report(pages: Pages, action: RedriveAction, result: RedriveResult) -> Response:
    view = pages.view(g.principal, "/", {})
    moved, left = plural(result.moved, "message sent back"), commas(result.left)
    lines = [_("%(moved)s, %(left)s left.", moved=moved, left=left)]
    lines += [
        _("%(messages)s stay: %(why)s.", messages=plural(number, "message"), why=why)
        for why, number in result.kept.items()
    ]
    lines += [result.problems] if result.problems else []
    back = view.url("/messages", **Place(action.topic, action.channel).params)
    page = Page("message.html", _("Redriven"), "", {"text": " ".join(lines), "back": back})
    return html(pages.renderer.page(view, page))
