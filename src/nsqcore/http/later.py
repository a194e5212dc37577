"""An answer that a handler gives after it has returned.

For what is answered when something else is done: a write that waits for its sync, say. No task
waits meanwhile, and requests behind it are served; what the client gets keeps their order.
"""

from collections.abc import Callable

from nsqcore.classes import define, field
from nsqcore.http.responses import Response


@define(eq=False, repr=False)
class Later:
    """What a handler returns in place of a `Response`, to call `answer` when it knows."""

    _response: Response | None = field(default=None, init=False)
    _send: Callable[[Response], None] | None = field(default=None, init=False)

    def answer(self, response: Response) -> None:
        """Answer the request. After the connection's end nothing happens.

        Raises:
            RuntimeError: it has been answered before.
        """
        if self._response is not None:
            raise RuntimeError("a request is answered once")
        self._response = response
        send, self._send = self._send, None
        if send is not None:
            send(response)

    def when_answered(self, send: Callable[[Response], None]) -> None:
        """Call ``send`` with the response, at once if it is there. For the session."""
        if self._response is None:
            self._send = send
        else:
            send(self._response)
