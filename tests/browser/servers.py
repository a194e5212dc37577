"""Small web servers beside the cluster, for browsers and daemons to meet."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class QuietHandler(http.server.BaseHTTPRequestHandler):
    """A handler of requests that logs nothing."""

    def log_message(self, *args: object) -> None:
        """Nothing: who runs the tests has enough to read."""


@contextmanager
def serving(handler: type[QuietHandler]) -> Iterator[str]:
    """The address of a server on a free port of this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
