"""``nsqctl tail``: the messages of a topic as they come, by an ephemeral channel of our own."""

import argparse
import json
import secrets
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import datetime

import nsqclient
from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.each.messages import holders
from nsqctl.shared.connecting import connection_options
from nsqctl.shared.output import print_failures, printable

MAX_IN_FLIGHT = 200


async def tail(cluster: Cluster, given: argparse.Namespace) -> int:
    """Show what is published to a topic until there were ``given.count``; the exit status."""
    answer = await holders(cluster, given.topic)
    nsqds = [producer.tcp_address for producer in answer.value]
    if not nsqds:
        print(f"nsqctl: no nsqd has the topic {printable(given.topic)}", file=sys.stderr)
        return print_failures(answer.failures) or 1
    print_failures(answer.failures)
    channel = f"tail{secrets.token_hex(4)}#ephemeral"

    async def show(message: nsqclient.Message) -> None:
        print(line(message, as_json=given.json), flush=True)

    await consume(given, channel, nsqds, show)
    return 0


async def consume(
    given: argparse.Namespace,
    channel: str,
    nsqds: list[str],
    show: Callable[[nsqclient.Message], Awaitable[None]],
) -> None:
    """Give each message of ``given.topic`` to ``show`` and finish it.

    That ends when there were ``given.count``; None is for ever.
    """
    left = given.count
    async with nsqclient.open_consumer(
        given.topic,
        channel,
        nsqd=nsqds,
        max_in_flight=min(MAX_IN_FLIGHT, left or MAX_IN_FLIGHT),
        options=connection_options(given),
    ) as consumer:
        async for message in consumer:
            await show(message)
            await message.finish()
            if left is not None:
                left -= 1
                if not left:
                    break


def line(message: nsqclient.Message, *, as_json: bool) -> str:
    """One message, in a line."""
    text: str | None
    try:
        text = message.body.decode()
    except UnicodeDecodeError:
        text = None
    if as_json:
        shown = b64encode(message.body).decode() if text is None else text
        return json.dumps(
            {
                "node": message.nsqd,
                "id": message.id,
                "timestamp": message.timestamp,
                "attempts": message.attempts,
                "size": len(message.body),
                "encoding": "base64" if text is None else "text",
                "body": shown,
            }
        )
    published = datetime.fromtimestamp(message.timestamp / 1e9).astimezone()
    return f"{published:%H:%M:%S.%f} {message.body.hex() if text is None else printable(text)}"
