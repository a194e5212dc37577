"""A broker of taskiq whose task notes in a file what it does."""

import asyncio
import os

from nsqclient.taskiq import NsqBroker

broker = NsqBroker(os.environ["NSQD"], topic="jobs")


def note(line: str) -> None:
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{line}\n")


@broker.task
async def told(text: str) -> None:
    note(text)
    if text == os.environ.get("HANGS"):
        await asyncio.sleep(60)


async def send(texts: list[str]) -> None:
    await broker.startup()
    for text in texts:
        await told.kiq(text)
    await told.kicker().with_labels(delay=0.2).kiq("later")
    await broker.shutdown()
