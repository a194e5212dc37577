"""HTML from pages, and the parts of it that live updates send again.

Templates mark what changes from second to second with ``<!--[name-->`` and ``<!--]-->``. `split`
takes such a page
apart: as long as what is between the parts stays the same, an update is the few parts that changed;
otherwise it is the page. Values are escaped by the templates, so that no value can end a part.
Texts are in the language that is spoken while a page is drawn (`nsqadmin.language`).
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from nsqadmin.drawing import formats
from nsqadmin.drawing.told import notes, promised
from nsqadmin.language.catalogue import languages
from nsqadmin.language.spoken import spoken
from nsqadmin.pages.frame.view import Page, View
from nsqcore.app.process.version import VERSION, release
from nsqcore.classes import define, field, frozen

_PART = re.compile(r"<!--\[(\w+)-->(.*?)<!--\]-->", re.DOTALL)


def web_directory() -> Path:
    """Where the templates and static files of this package are."""
    return Path(str(files("nsqadmin_web")))


@cache
def make_environment() -> jinja2.Environment:
    """The templates, with their filters; the same for all who ask, since compiling them is slow."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(web_directory() / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
        lambda text: spoken().texts.gettext(text),
        lambda one, many, count: spoken().texts.ngettext(one, many, count),
        newstyle=True,
    )
    environment.filters |= {
        "commas": formats.commas,
        "short": formats.short,
        "rate": formats.rate,
        "nanoseconds": formats.nanoseconds,
        "seconds": formats.seconds,
        "moment": formats.moment,
        "percentile": formats.percentile,
        "slot": formats.slot,
        "web_link": formats.web_link,
    }
    environment.globals |= {
        "percent": formats.percent,
        "plural": formats.plural,
        "notes": notes,
        "promised": promised,
        "language": spoken,
        "languages": languages,
        "version": VERSION,
        "release": release(),
    }
    return environment


@frozen
class Split:
    """A rendered page, taken apart."""

    skeleton: str
    parts: Mapping[str, str]


@define(eq=False, repr=False)
class Renderer:
    """Draws pages."""

    environment: jinja2.Environment = field(factory=make_environment)

    def page(self, view: View, page: Page) -> str:
        """The whole HTML document of a page."""
        return self._render(page.template, view, page, live=False)

    def main(self, view: View, page: Page) -> str:
        """The part of a page that live updates replace: what is in ``main``."""
        return self._render(page.template, view, page, live=True)

    def _render(self, template: str, view: View, page: Page, *, live: bool) -> str:
        values: dict[str, Any] = {**page.values, "view": view, "page": page, "live": live}
        return self.environment.get_template(template).render(values)

    def plain(self, template: str, **values: Any) -> str:
        """A page that does not show the cluster."""
        return self.environment.get_template(template).render(values)


def split(html: str) -> Split:
    """The parts of ``html`` by name, and what is left without them."""
    parts = dict(_PART.findall(html))
    return Split(_PART.sub(r"<!--[\1-->", html), parts)
