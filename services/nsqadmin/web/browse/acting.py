"""What is done to messages that were chosen, and publishing a test message.

Whoever may act is asked before anything is done.
"""

from collections.abc import Mapping, Sequence

from quart import Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as Redirect

from nsqadmin.actions.messages import (
    MESSAGE_VERBS,
    MOST,
    MessageAction,
    perform_on_messages,
    publish_test,
)
from nsqadmin.actions.perform import Action, allow
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page
from nsqadmin.web.browse.place import BUTTONS, Place, read_picks
from nsqadmin.web.forms import form_page, posted_form
from nsqadmin.web.pages import Pages, html
from nsqadmin.web.requests import origin_of

_CONSEQUENCES = {
    "finish": N_("They are done with, and delivered no more. They cannot be brought back."),
    "requeue": N_("They are delivered at once, whoever holds them now."),
    "dead": N_("They leave this channel for its dead-letter topic."),
    "copy": N_("Their bodies are published to another topic, as new messages; they stay."),
}
_TITLES = {
    "finish": N_("Finish messages"),
    "requeue": N_("Requeue messages"),
    "dead": N_("Dead-letter messages"),
    "copy": N_("Copy messages"),
}
_DANGEROUS = frozenset(("finish", "dead"))


def add_acting(app: QuartTrio, admin: Admin, pages: Pages) -> None:
    """Route ``/messages/act`` and ``/messages/publish``."""
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/messages/act")
    async def ask_messages() -> Response:
        return _ask(admin, pages, _action(request.args, request.args.getlist("pick")))

    @app.post(f"{base}/messages/act")
    async def act_on_chosen() -> Response | Redirect:
        form = await posted_form(admin)
        action = _action(form, form.getlist("pick"))
        try:
            problems = await perform_on_messages(admin, action, origin_of(request))
        except Refused as error:
            return _ask(admin, pages, action, str(error))
        view = pages.view(g.principal, "/", {})
        back = view.url("/messages", **Place(action.topic, action.channel).params)
        if problems:
            values = {"text": problems, "back": back}
            page = Page("message.html", _("Done, but not all of it"), "", values)
            return html(pages.renderer.page(view, page))
        return redirect(back, 303)

    @app.post(f"{base}/messages/publish")
    async def publish_message() -> Response | Redirect:
        form = await posted_form(admin)
        node = form.get("node", "")
        # forms send lines as the web's older protocols end them
        place, body = Place.of(form), form.get("body", "").replace("\r\n", "\n")
        if "sure" not in form:
            return _ask_publish(admin, pages, place, node, body)
        try:
            await publish_test(admin, place.topic, node, body.encode(), origin_of(request))
        except Refused as error:
            if error.status == 403:
                raise
            return _ask_publish(admin, pages, place, node, body, str(error))
        view = pages.view(g.principal, "/", {})
        return redirect(view.url("/messages", **place.params), 303)


def _action(fields: Mapping[str, str], picks: Sequence[str]) -> MessageAction:
    """Raises Refused where there is no such action, or nobody may do it."""
    verb, place = fields.get("verb", ""), Place.of(fields)
    if verb not in MESSAGE_VERBS:
        raise Refused(404, "NOT_FOUND")
    picked = read_picks(picks[:MOST])
    action = MessageAction(
        verb=verb,
        topic=place.topic,
        channel=place.channel,
        picked=picked,
        to=fields.get("to", "").strip(),
        reason=fields.get("reason", "").strip(),
    )
    allow(g.principal, action.whole, right=verb)
    return action


def _ask(admin: Admin, pages: Pages, action: MessageAction, error: str = "") -> Response:
    view = pages.view(g.principal, "/", {})
    place = Place(action.topic, action.channel)
    if not action.picked:
        error = error or _("Choose some messages first.")

    values = {
        "action": action,
        "place": place,
        "error": error,
        "consequence": _(_CONSEQUENCES[action.verb]),
        "buttons": BUTTONS,
        "dangerous": action.verb in _DANGEROUS,
        "back": view.url("/messages", **place.params),
    }
    page = Page("messageact.html", _(_TITLES[action.verb]), "", values)
    return form_page(admin, pages, view, page, 400 if error else 200)


def _ask_publish(
    admin: Admin, pages: Pages, place: Place, node: str, body: str, error: str = ""
) -> Response:
    allow(g.principal, Action(verb="publish", topic=place.topic, node=node))
    view = pages.view(g.principal, "/", {})

    values = {
        "place": place,
        "node": node,
        "body": body,
        "size": len(body.encode()),
        "error": error,
        "back": view.url("/messages", **place.params),
    }
    page = Page("messagepublish.html", _("Publish a test message"), "", values)
    return form_page(admin, pages, view, page, 400 if error else 200)
