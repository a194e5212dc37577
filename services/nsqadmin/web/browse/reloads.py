"""Where an address leads that a browser may show, but that a person cannot be answered at.

After a form was sent, its address may stay in the address bar, without the fields: of the answer
that was an error, or of the page that the form was on before a login. Whoever asks for it again
comes to a page that helps.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from nsqadmin.web.browse.place import Place

# Pages of something, the parameter that says of what, and where one may choose it.
_NEEDS = {
    "/messages": ("topic", "/topics"),
    "/messages/act": ("topic", "/topics"),
    "/messages/redrive": ("topic", "/topics"),
    "/messages/tail": ("topic", "/topics"),
    "/policies/delete": ("name", "/policies"),
    "/sessions/end": ("id", "/sessions"),
}
# Addresses of forms alone.
_FORMS = {"/language": "", "/logout": "", "/policies/set": "/policies"}


def led_to(path: str, arguments: Mapping[str, str]) -> str | None:
    """The page to show in place of ``path``; both without the base path.

    None where ``path`` has a page of its own.
    """
    place = Place.of(arguments)
    if path == "/messages/publish" or (path == "/messages/act" and not arguments.get("verb")):
        return f"/messages?{urlencode(place.params)}" if place.topic else "/topics"
    if path.startswith("/action/"):
        return None if place.topic else "/topics"
    if path in _FORMS:
        return _FORMS[path]
    parameter, instead = _NEEDS.get(path, ("", ""))
    return instead if parameter and not arguments.get(parameter, "").strip() else None
