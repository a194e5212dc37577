"""The library under the daemons, tools and the client: formats, options, sockets, HTTP."""
