"""The messages of some topics, published to other nsqds.

nsqd ═▶ Consumer per topic ─▶ workers ─JsonFilter, Chooser─▶ a Producer per destination ═▶ nsqd

A message is finished when its destination has confirmed it, or another one where the first does not
take it; otherwise it is requeued, later with every attempt, and intake backs off. As many are under
way as ``--max-in-flight`` allows.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import trio

from nsqclient import open_producer
from nsqcore.app.service import Process
from nsqtools.nsq_to_nsq.destination import Destination
from nsqtools.nsq_to_nsq.json_filter import JsonFilter
from nsqtools.nsq_to_nsq.options import RelayOptions, check
from nsqtools.nsq_to_nsq.relay import Relay
from nsqtools.shared.client_options import ClientSettings
from nsqtools.shared.host_pool import chooser
from nsqtools.shared.program import run_program
from nsqtools.shared.source import consumer_settings, open_source, user_agent
from nsqtools.shared.timings import StatusLog

PROGRAM = "nsq_to_nsq"


async def run(options: RelayOptions, process: Process) -> None:
    """Relay messages until told to stop."""
    check(options)
    settings: dict[str, Any] = consumer_settings(PROGRAM, options)
    producing = ClientSettings.of(options.producer_opts).connection(user_agent(PROGRAM))
    addresses = list(dict.fromkeys(options.destination_nsqd_tcp_addresses))
    async with AsyncExitStack() as stack:
        destinations: dict[str, Destination] = {}
        for address in addresses:
            producer = await stack.enter_async_context(open_producer(address, options=producing))
            destinations[address] = Destination(address, producer)
        relay = Relay(
            destinations,
            chooser(options.mode, addresses),
            JsonFilter(
                options.require_json_field,
                options.require_json_value,
                options.whitelist_json_fields,
            ),
            options.destination_topic,
            ClientSettings.of(options.consumer_opts),
            StatusLog.of(addresses, options.status_every),
        )
        async with trio.open_nursery() as nursery:
            for topic in dict.fromkeys(options.topics):
                nursery.start_soon(_relay, topic, settings, relay, process)


async def _relay(topic: str, settings: dict[str, Any], relay: Relay, process: Process) -> None:
    async with open_source(topic, settings, process.shutdown) as consumer:
        await consumer.run(relay.handle, concurrency=settings["max_in_flight"])


def start(arguments: Sequence[str] | None, process: Process | None) -> int:
    """The exit status of ``nsq_to_nsq``."""
    return run_program(PROGRAM, RelayOptions, run, arguments, process)
