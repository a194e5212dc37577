"""What a POST costs: the client of nsq_to_http beside httpx. Run: python -m bench.post_cost

A server in a process of its own; CPU time of this process alone.
"""

import multiprocessing
import time
from collections.abc import Awaitable, Callable
from functools import partial

import httpx
import trio

from nsqtools.nsq_to_http.client import EndpointClient

BODY = b"x" * 200
AT_A_TIME = 100

Post = Callable[[], Awaitable[object]]


async def _serve(stream: trio.SocketStream) -> None:
    buffer = b""
    try:
        while data := await stream.receive_some():
            buffer += data
            while b"\r\n\r\n" in buffer:
                rest = buffer.partition(b"\r\n\r\n")[2]
                if len(rest) < len(BODY):
                    break
                buffer = rest[len(BODY) :]
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
    except trio.BrokenResourceError:
        pass


def _server(ports: "multiprocessing.Queue[int]") -> None:
    async def run() -> None:
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, _serve, 0, host="127.0.0.1"))
            ports.put(listener.socket.getsockname()[1])

    trio.run(run)


async def _measure(post: Post, count: int) -> float:
    """CPU seconds a request."""
    await post()
    left = count
    began = time.process_time()

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await post()

    async with trio.open_nursery() as nursery:
        for _ in range(AT_A_TIME):
            nursery.start_soon(work)
    return (time.process_time() - began) / count


async def _compare(url: str) -> None:
    settings = {"headers": {}, "content_type": "text/plain"}
    async with EndpointClient.open(**settings, connect_timeout=5, request_timeout=60) as own:
        cost = await _measure(partial(own.post, url, BODY), 10_000)
        print(f"nsq_to_http  {cost * 1e6:6.0f} us of CPU a request")
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=AT_A_TIME)
    async with httpx.AsyncClient(limits=limits) as other:
        cost = await _measure(partial(other.post, url, content=BODY), 2_000)
        print(f"httpx        {cost * 1e6:6.0f} us of CPU a request")


def main() -> None:
    """Measure both."""
    ports: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=_server, args=(ports,), daemon=True)
    server.start()
    try:
        trio.run(_compare, f"http://127.0.0.1:{ports.get()}/in")
    finally:
        server.kill()


if __name__ == "__main__":
    main()
