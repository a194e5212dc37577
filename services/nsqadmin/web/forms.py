"""Actions from pages: first a page that asks whether it is meant, then the deed.

A GET shows what would be done and a form; deleting asks for the name to be typed. The POST carries
a token that fits a cookie of this browser, comes from our own origin, and leads back to a page.
Scripts use the API instead.
"""

import secrets
from collections.abc import Callable, Mapping

import attrs
from quart import Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as Redirect

from nsqadmin.actions.perform import VERBS, Action, allow, perform
from nsqadmin.auth.principals import Principal
from nsqadmin.auth.refused import Refused
from nsqadmin.collect.snapshot import Snapshot, topic_parts
from nsqadmin.core.admin import Admin
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page, View
from nsqadmin.web.identity import FORM_COOKIE
from nsqadmin.web.pages import Pages, html
from nsqadmin.web.requests import origin_of
from nsqcore.cluster.stats import ChannelStats

# What each action does, for the page that asks.
_CONSEQUENCES = {
    "pause": N_("Messages are kept and no longer delivered, until it is unpaused."),
    "unpause": N_("Messages are delivered again."),
    "empty": N_("All waiting messages are dropped. They cannot be brought back."),
    "delete": N_("It is removed with all its messages. They cannot be brought back."),
    "tombstone": N_(
        "The topic and its messages are deleted on this nsqd, and consumers are no longer"
        " sent there for it."
    ),
    "create": N_("It becomes known to every nsqlookupd, so that consumers find it."),
}
# What its button says, what is asked of a topic, and of a channel, and the title.
_WORDS = {
    "pause": (N_("Pause"), N_("Pause topic?"), N_("Pause channel?"), N_("Pause %(name)s")),
    "unpause": (
        N_("Unpause"),
        N_("Unpause topic?"),
        N_("Unpause channel?"),
        N_("Unpause %(name)s"),
    ),
    "empty": (N_("Empty"), N_("Empty topic?"), N_("Empty channel?"), N_("Empty %(name)s")),
    "delete": (N_("Delete"), N_("Delete topic?"), N_("Delete channel?"), N_("Delete %(name)s")),
    "tombstone": (
        N_("Tombstone"),
        N_("Tombstone topic?"),
        N_("Tombstone channel?"),
        N_("Tombstone %(name)s"),
    ),
    "create": (N_("Create"), N_("Create topic?"), N_("Create channel?"), N_("Create %(name)s")),
}
_DANGEROUS = frozenset(("empty", "delete", "tombstone"))
_TYPED = frozenset(("delete", "tombstone"))


def add_forms(app: QuartTrio, admin: Admin, pages: Pages) -> None:
    """Route ``/action/<verb>``."""
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/action/<verb>")
    async def ask(verb: str) -> Response:
        action = read_action(verb, request.args)
        allow(g.principal, action)
        return _ask(admin, pages, action)

    @app.post(f"{base}/action/<verb>")
    async def act(verb: str) -> Response | Redirect:
        form = await posted_form(admin)
        action = read_action(verb, form)
        allow(g.principal, action)
        if verb in _TYPED and form.get("typed", "").strip() != typed_name(action):
            text = _("Type %(name)s to confirm.", name=typed_name(action))
            return _ask(admin, pages, action, text)
        try:
            message = await perform(admin, action, origin_of(request))
        except Refused as error:
            return _ask(admin, pages, action, str(error))
        await admin.collector.refresh()
        view = pages.view(g.principal, "/", {})
        if message:
            return _report(pages, view, action, message)
        return redirect(after(view, action), 303)


def read_action(verb: str, fields: Mapping[str, str]) -> Action:
    """The action that a form or its URL describes.

    Raises:
        Refused: 404, there is no such action.
    """
    if verb not in VERBS:
        raise Refused(404, "NOT_FOUND")
    return Action(
        verb=verb,
        topic=fields.get("topic", "").strip(),
        channel=fields.get("channel", "").strip(),
        node=fields.get("node", "").strip(),
    )


def typed_name(action: Action) -> str:
    """What has to be typed before something is deleted."""
    return action.channel or action.topic


async def posted_form(admin: Admin) -> MultiDict[str, str]:
    """The fields of the form that was sent, if it is one of ours for this browser.

    Raises:
        Refused: 403.
    """
    form = await request.form
    if not token_fits(admin, form.get("token", "")):
        raise Refused(403, "FORBIDDEN")
    return form


def token_fits(admin: Admin, token: str) -> bool:
    """Whether a form's token belongs to the browser that sent it."""
    return admin.form_tokens.fits(request.cookies.get(FORM_COOKIE, ""), token)


def with_token(admin: Admin, render: Callable[[str], Response]) -> Response:
    """A page with a form: ``render`` gets the token, the browser a cookie that fits it."""
    principal: Principal = g.principal
    seed = request.cookies.get(FORM_COOKIE, "") or secrets.token_urlsafe(24)
    response = render(admin.form_tokens.token(seed))
    response.headers["Cache-Control"] = "no-store"
    response.set_cookie(
        FORM_COOKIE, seed, httponly=True, samesite="Strict", secure=principal.scheme == "https",
        path=admin.options.base_path,
    )  # fmt: skip
    return response


def form_page(admin: Admin, pages: Pages, view: View, page: Page, status: int = 200) -> Response:
    """``page``, with a form whose ``token`` is added to its values."""

    def render(token: str) -> Response:
        whole = attrs.evolve(page, values={**page.values, "token": token})
        return html(pages.renderer.page(view, whole), status)

    return with_token(admin, render)


def _ask(admin: Admin, pages: Pages, action: Action, error: str = "") -> Response:
    view = pages.view(g.principal, "/", {})

    values = {
        "action": action,
        "error": error,
        "question": _(_WORDS[action.verb][2 if action.channel else 1]),
        "button": _(_WORDS[action.verb][0]),
        "consequence": _(_CONSEQUENCES[action.verb]),
        "dangerous": action.verb in _DANGEROUS,
        "lost": messages_lost(admin.collector.snapshot, action),
        "typed": typed_name(action) if action.verb in _TYPED else "",
        "back": after(view, action, done=False),
    }
    page = Page("confirm.html", _title(action), "", values)
    return form_page(admin, pages, view, page, 400 if error else 200)


def messages_lost(snapshot: Snapshot, action: Action) -> int:
    """How many messages an action drops, as far as is known now."""
    if action.verb not in _DANGEROUS:
        return 0
    topic = snapshot.topics.get(action.topic)
    parts = [
        part for part in (topic_parts(topic) if topic else [])
        if not action.node or part.node == action.node
    ]  # fmt: skip
    channels = [channel for part in parts for channel in part.channels]
    if action.channel:
        channels = [channel for channel in channels if channel.channel_name == action.channel]
        return sum(_messages(channel) for channel in channels)
    waiting = sum(part.depth for part in parts)
    # Emptying a topic leaves its channels alone; deleting it does not.
    return waiting + (0 if action.verb == "empty" else sum(map(_messages, channels)))


def _messages(channel: ChannelStats) -> int:
    return channel.depth + channel.in_flight_count + channel.deferred_count


def _title(action: Action) -> str:
    """What an action does to what."""
    name = attrs.evolve(action, node="").target
    if action.node:
        name = _("%(name)s on %(node)s", name=name, node=action.node)
    return _(_WORDS[action.verb][3], name=name)


def _report(pages: Pages, view: View, action: Action, message: str) -> Response:
    title = _("%(what)s: done, but not everywhere", what=_title(action))
    page = Page("message.html", title, "", {"text": message, "back": after(view, action)})
    return html(pages.renderer.page(view, page))


def after(view: View, action: Action, *, done: bool = True) -> str:
    """Where an action leads: to what it acted on, or what that was part of if it is gone."""
    gone = done and action.verb == "delete"
    if action.verb == "create" and not done:
        return view.url("/lookup")
    if not action.topic or (gone and not action.channel):
        return view.url("/")
    if action.channel and not gone:
        return view.channel_url(action.topic, action.channel)
    return view.topic_url(action.topic)
