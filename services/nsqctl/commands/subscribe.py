"""``nsqctl sub``: consumes a channel, and writes the bodies of its messages, or JSON."""

import argparse
import secrets
import sys

import nsqclient
from nsqcore.cluster.cluster import Cluster
from nsqctl.commands.tail import consume, line
from nsqctl.shared.errors import CommandFailed
from nsqctl.shared.output import print_failures
from nsqctl.shared.pace import Pace


async def subscribe(cluster: Cluster, given: argparse.Namespace) -> int:
    """Consume ``given.channel`` until there were ``given.count``; the exit status.

    A message is finished when it was written. Topic and channel are made if there are none.
    """
    answer = await cluster.nodes()
    print_failures(answer.failures)
    if not answer.value:
        raise CommandFailed("no nsqd to consume from")
    channel = given.channel or f"nsqctl{secrets.token_hex(4)}#ephemeral"
    pace = Pace(given.rate)

    async def show(message: nsqclient.Message) -> None:
        await pace.wait()
        if given.json:
            print(line(message, as_json=True), flush=True)
        else:
            sys.stdout.buffer.write(message.body + b"\n")
            sys.stdout.buffer.flush()

    nsqds = [node.tcp_address for node in answer.value]
    await consume(given, channel, nsqds, show)
    return 0
