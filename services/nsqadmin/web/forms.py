"""Actions from pages: first a page that asks whether it is meant, then the deed.

A GET shows what would be done and a form; deleting asks for the name to be typed. The POST carries
a token that fits a cookie of this browser, comes from our own origin, and leads back to a page.
Scripts use the API instead.
"""

import secrets
from collections.abc import Callable, Mapping

from quart import Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as Redirect

from nsqadmin.actions.perform import VERBS, Action, allow, perform
from nsqadmin.admin import Admin
from nsqadmin.auth.principals import Principal
from nsqadmin.collect.snapshot import Snapshot, topic_parts
from nsqadmin.errors import Refused
from nsqadmin.pages.view import Page, View
from nsqadmin.web.identity import FORM_COOKIE
from nsqadmin.web.pages import Pages, html
from nsqadmin.web.requests import origin_of
from nsqcore.cluster.stats import ChannelStats

# What each action does, for the page that asks.
_CONSEQUENCES = {
    "pause": "Messages are kept and no longer delivered, until it is unpaused.",
    "unpause": "Messages are delivered again.",
    "empty": "All waiting messages are dropped. They cannot be brought back.",
    "delete": "It is removed with all its messages. They cannot be brought back.",
    "tombstone": "The topic and its messages are deleted on this nsqd, and consumers are no longer"
    " sent there for it.",
    "create": "It becomes known to every nsqlookupd, so that consumers find it.",
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
        form = await request.form
        if not token_fits(admin, form.get("token", "")):
            raise Refused(403, "FORBIDDEN")
        action = read_action(verb, form)
        if verb in _TYPED and form.get("typed", "").strip() != typed_name(action):
            text = f"Type {typed_name(action)} to confirm."
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


def _ask(admin: Admin, pages: Pages, action: Action, error: str = "") -> Response:
    view = pages.view(g.principal, "/", {})

    def render(token: str) -> Response:
        values = {
            "action": action,
            "token": token,
            "error": error,
            "consequence": _CONSEQUENCES[action.verb],
            "dangerous": action.verb in _DANGEROUS,
            "lost": messages_lost(admin.collector.snapshot, action),
            "typed": typed_name(action) if action.verb in _TYPED else "",
            "back": after(view, action, done=False),
        }
        page = Page("confirm.html", f"{action.verb.capitalize()} {action.target}", "", values)
        return html(pages.renderer.page(view, page), 400 if error else 200)

    return with_token(admin, render)


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


def _report(pages: Pages, view: View, action: Action, message: str) -> Response:
    title = f"{action.verb.capitalize()} {action.target}: done, but not everywhere"
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
