"""pynsq as a program of its own: `publish` and `consume`, for tests that need a foreign client.

    pynsq_peer.py publish TOPIC NSQD_TCP…            stdin: a JSON list of batches of texts
    pynsq_peer.py consume TOPIC CHANNEL FILE LOOKUPD_HTTP…

`publish` sends each batch with one MPUB, to the nsqds in turn, and ends when all are acknowledged.
`consume` appends [id, text] of every message to FILE and ends on SIGTERM. Texts are latin-1.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import nsq  # type: ignore[import-untyped]

MAX_IN_FLIGHT = 200


async def send(writer: Any, topic: str, batch: list[bytes]) -> Any:
    """The outcome of one MPUB: b"OK", or an error."""
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    writer.mpub(topic, batch, callback=lambda _, data: outcome.set_result(data))
    return await outcome


async def publish(topic: str, *addresses: str) -> None:
    """Publish what stdin has; each batch exactly once."""
    batches = [[text.encode("latin-1") for text in batch] for batch in json.load(sys.stdin)]
    writers = [nsq.Writer([address]) for address in addresses]
    for writer in writers:
        while not writer.conns:  # noqa: ASYNC110 - pynsq tells nobody that it is connected
            await asyncio.sleep(0.01)
    for number, batch in enumerate(batches):
        outcome = await send(writers[number % len(writers)], topic, batch)
        if outcome != b"OK":
            sys.exit(f"publishing failed: {outcome!r}")


async def consume(topic: str, channel: str, path: str, *lookupds: str) -> None:
    """Write down every message until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with Path(path).open("a", buffering=1) as file:  # noqa: ASYNC230 - before anything arrives

        def handle(message: Any) -> bool:
            file.write(json.dumps([message.id.decode(), message.body.decode("latin-1")]) + "\n")
            return True

        nsq.Reader(
            topic,
            channel,
            handle,
            lookupd_http_addresses=list(lookupds),
            lookupd_poll_interval=1,
            lookupd_poll_jitter=0.0,
            max_in_flight=MAX_IN_FLIGHT,
            max_tries=100,
        )
        await stop.wait()


if __name__ == "__main__":
    asyncio.run((publish if sys.argv[1] == "publish" else consume)(*sys.argv[2:]))
