"""The page of policies: it asks every nsqd when it is asked, and is not kept up to date.

Setting is a form on the page; deleting has a page of its own that asks for the name to be typed.
Both are protected like the forms of actions.
"""

from collections.abc import Mapping

import attrs
from quart import Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as Redirect

from nsqadmin.actions.policies import (
    DELETE,
    allow,
    delete_policy,
    nodes_of,
    read_definition,
    set_policy,
)
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page
from nsqadmin.pages.policies import PolicyForm, form_of, policies_page
from nsqadmin.web.forms import form_page, posted_form, with_token
from nsqadmin.web.pages import Pages, html
from nsqadmin.web.requests import origin_of
from nsqcore.cluster.each.policies import NodePolicies, NodeValues, all_policies, effective_values
from nsqcore.cluster.upstream import AllFailed

# Of a name that no nsqd would take, no more is sent on.
_LONGEST = 200


def add_policies(app: QuartTrio, admin: Admin, pages: Pages) -> None:
    """Route ``/policies`` and the forms below it."""
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/policies")
    async def show_policies() -> Response:
        await admin.collector.fresh()
        return await _show(admin, pages, edit=request.args.get("edit", ""))

    @app.post(f"{base}/policies/set")
    async def set_named() -> Response | Redirect:
        form = await posted_form(admin)
        given = _form(form)
        try:
            raw = {
                "pattern": given.pattern,
                "kind": given.kind,
                "priority": int(given.priority),
                "definition": read_definition(given.definition),
            }
            told = await set_policy(admin, given.name, raw, origin_of(request))
        except ValueError as error:
            return await _show(admin, pages, form=given, error=str(error))
        except Refused as error:
            if error.status == 403:
                raise
            return await _show(admin, pages, form=given, error=str(error))
        return _done(pages, _("Set policy %(name)s", name=given.name), told)

    @app.get(f"{base}/policies/delete")
    async def ask_to_delete() -> Response:
        name = request.args.get("name", "")[:_LONGEST]
        allow(g.principal, DELETE, name)
        return _confirm(admin, pages, name)

    @app.post(f"{base}/policies/delete")
    async def delete_named() -> Response | Redirect:
        form = await posted_form(admin)
        name = form.get("name", "")[:_LONGEST]
        allow(g.principal, DELETE, name)
        if form.get("typed", "").strip() != name:
            return _confirm(admin, pages, name, _("Type %(name)s to confirm.", name=name))
        try:
            told = await delete_policy(admin, name, origin_of(request))
        except Refused as error:
            return _confirm(admin, pages, name, str(error))
        return _done(pages, _("Delete policy %(name)s", name=name), told)


def _form(fields: Mapping[str, str]) -> PolicyForm:
    names = ("name", "pattern", "kind", "priority")
    given = {name: fields.get(name, "").strip()[:_LONGEST] for name in names}
    given["priority"] = given["priority"] or "0"
    return PolicyForm(**given, definition=fields.get("definition", ""))


async def _show(
    admin: Admin,
    pages: Pages,
    *,
    edit: str = "",
    form: PolicyForm | None = None,
    error: str = "",
) -> Response:
    nodes, failures = nodes_of(admin), []
    found: list[NodePolicies] = []
    values: list[NodeValues] = []
    about = tuple(request.args.get(name, "").strip()[:_LONGEST] for name in ("topic", "channel"))
    try:
        listed = await all_policies(admin.upstream, nodes)
        found, failures = listed.value, [str(failure) for failure in listed.failures]
        if about[0]:
            told = await effective_values(admin.upstream, nodes, *about)
            values, failures = told.value, [str(failure) for failure in told.failures]
    except AllFailed as failed:
        failures = [str(failed)]
    if form is None:
        form = form_of(found, edit)
    view = pages.view(g.principal, "/policies", {})

    def render(token: str) -> Response:
        shown = attrs.evolve(form, error=error)
        page = policies_page(found, values, (about[0], about[1]), failures, shown, token)
        return html(pages.renderer.page(view, page), 400 if error else 200)

    return with_token(admin, render)


def _confirm(admin: Admin, pages: Pages, name: str, error: str = "") -> Response:
    view = pages.view(g.principal, "/", {})

    values = {"name": name, "error": error}
    page = Page("policy_delete.html", _("Delete policy %(name)s", name=name), "", values)
    return form_page(admin, pages, view, page, 400 if error else 200)


def _done(pages: Pages, title: str, told: str) -> Response | Redirect:
    view = pages.view(g.principal, "/", {})
    back = view.url("/policies")
    if not told:
        return redirect(back, 303)
    title = _("%(what)s: done, but not everywhere", what=title)
    page = Page("message.html", title, "", {"text": told, "back": back})
    return html(pages.renderer.page(view, page))
