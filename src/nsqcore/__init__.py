"""The library under the daemons, tools and the client: formats, options, sockets, HTTP."""

from nsqcore.forms import choose_form

choose_form()
