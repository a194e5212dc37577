"""An HTTP server that answers with bytes as they are given, whatever they are."""

import socket
import threading
from collections.abc import Callable
from typing import Self


class RawServer:
    """Answers every connection's first request with bytes, in a thread: under any event loop.

    ``answer`` is the bytes, or makes them of the request.
    """

    def __init__(self, answer: bytes | Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def serve(self) -> None:
        """Until the listener is closed."""
        try:
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += connection.recv(65536)
                    self.requests.append(request)
                    answer = self.answer(request) if callable(self.answer) else self.answer
                    connection.sendall(answer)
        except OSError:
            return
