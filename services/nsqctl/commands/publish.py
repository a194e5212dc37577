"""``nsqctl pub``: lines of standard input or of files, or whole files, as messages."""

import argparse
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import trio

import nsqclient
from nsqcore.cluster.cluster import Cluster
from nsqctl.shared.connecting import connection_options
from nsqctl.shared.errors import CommandFailed
from nsqctl.shared.output import print_failures
from nsqctl.shared.pace import Pace

# What is read at a time; the lines of one read go together.
CHUNK = 65536


async def publish(cluster: Cluster, given: argparse.Namespace) -> int:
    """Publish what is given to ``given.topic``; the exit status."""
    answer = await cluster.nodes()
    status = print_failures(answer.failures)
    if not answer.value:
        raise CommandFailed("no nsqd to publish to")
    headers = dict(given.header or ())
    pace, published = Pace(given.rate), 0
    nsqds = [node.tcp_address for node in answer.value]
    async with nsqclient.open_producer(nsqds, options=connection_options(given)) as producer:
        async for bodies in _messages(given):
            if given.rate is None and given.defer is None:
                await producer.publish_many(given.topic, bodies, headers=headers)
                published += len(bodies)
                continue
            for body in bodies:
                await pace.wait()
                await producer.publish(given.topic, body, defer=given.defer, headers=headers)
                published += 1
    print(f"published {published} message{'' if published == 1 else 's'} to {given.topic}")
    return status


async def _messages(given: argparse.Namespace) -> AsyncIterator[list[bytes]]:
    """What is to be published, as it is read; what is empty is no message."""
    if given.files and not given.lines:
        for file in given.files:
            body = await trio.Path(file).read_bytes()
            if body:
                yield [body]
        return
    for file in given.files or [None]:
        async for lines in _lines(file):
            if found := [line.removesuffix(b"\r") for line in lines if line.strip(b"\r")]:
                yield found


async def _lines(file: Path | None) -> AsyncIterator[list[bytes]]:
    """The lines of ``file``, or of standard input, as soon as they can be read."""
    descriptor = sys.stdin.fileno() if file is None else os.open(file, os.O_RDONLY)
    rest = b""
    try:
        # a read may wait for a person: the thread is left alone when the program ends
        while data := await trio.to_thread.run_sync(
            os.read, descriptor, CHUNK, abandon_on_cancel=True
        ):
            *lines, rest = (rest + data).split(b"\n")
            if lines:
                yield lines
        if rest:
            yield [rest]
    finally:
        if file is not None:
            os.close(descriptor)
