"""``nsq_to_nsq``: publishes the messages of some topics to other nsqds.

nsqd ═▶ Consumer per topic ─▶ workers ─JsonFilter, Chooser─▶ a Producer per destination ═▶ nsqd

A message is finished when its destination has confirmed it; otherwise it is requeued, later with
every attempt, and intake backs off. As many are under way as ``--max-in-flight`` allows.
"""

import logging
import sys
from contextlib import AsyncExitStack
from typing import Any

import attrs
import trio

from nsqclient import ClientError, Message, Producer, open_producer
from nsqcore.app.options import option
from nsqcore.app.service import Process
from nsqcore.app.values import choice
from nsqtools import cli
from nsqtools.clientopts import ClientOption, ClientSettings
from nsqtools.hostpool import Chooser, chooser
from nsqtools.jsonfilter import JsonFilter, NotJson, Verdict
from nsqtools.timings import StatusLog

logger = logging.getLogger(__name__)

PROGRAM = "nsq_to_nsq"

# Of a body that is shown in the log.
SHOWN = 200


@attrs.frozen(kw_only=True)
class RelayOptions:
    """Settings of one ``nsq_to_nsq``."""

    topics: tuple[str, ...] = cli.topics_option()
    channel: str = option("nsq_to_nsq", "NSQ channel")
    destination_topic: str = option(
        "", "topic to publish to; by default the one a message was consumed from"
    )
    max_in_flight: int = cli.max_in_flight_option()
    status_every: int = option(
        250, "number of messages between two lines about their durations; 0 is none"
    )
    mode: str = option(
        "hostpool",
        "how a destination is chosen: round-robin, hostpool or epsilon-greedy",
        parse=choice("round-robin", "hostpool", "epsilon-greedy"),
    )
    nsqd_tcp_addresses: tuple[str, ...] = cli.nsqd_option()
    lookupd_http_addresses: tuple[str, ...] = cli.lookupd_option()
    destination_nsqd_tcp_addresses: tuple[str, ...] = option(
        (),
        "destination nsqd TCP address (may be given multiple times)",
        flag="destination-nsqd-tcp-address",
        many=True,
    )
    whitelist_json_fields: tuple[str, ...] = option(
        (),
        "for JSON messages: pass this field (may be given multiple times)",
        flag="whitelist-json-field",
        many=True,
    )
    require_json_field: str = option(
        "", "for JSON messages: only pass messages that contain this field"
    )
    require_json_value: str = option(
        "", "for JSON messages: only pass messages in which the required field has this value"
    )
    consumer_opts: tuple[ClientOption, ...] = cli.consumer_option()
    producer_opts: tuple[ClientOption, ...] = cli.producer_option()
    log_level: str = cli.fixed("info")
    log_prefix: str = cli.fixed("")
    log_format: str = cli.fixed("text")


def _check(options: RelayOptions) -> None:
    cli.require(options.topics and options.channel, "--topic and --channel are required")
    cli.check_topics(options.topics)
    if options.destination_topic:
        cli.check_topics([options.destination_topic], "destination-topic")
    cli.one_kind_of_address(options.nsqd_tcp_addresses, options.lookupd_http_addresses)
    destinations = options.destination_nsqd_tcp_addresses
    cli.require(destinations, "--destination-nsqd-tcp-address required")
    cli.check_addresses(destinations, "destination-nsqd-tcp-address")


@attrs.define(eq=False)
class Relay:
    """Publishes messages to one of several nsqds each."""

    producers: dict[str, Producer]
    chooser: Chooser
    filter: JsonFilter
    destination_topic: str
    settings: ClientSettings
    status: StatusLog

    async def handle(self, message: Message) -> None:
        """Publish ``message`` if it passes, and give it the answer it deserves."""
        try:
            verdict, body = self.filter.apply(message.body)
        except NotJson as error:
            logger.error("message(%s): %s: %r", message.id, error, message.body[:SHOWN])
            return
        if verdict is Verdict.RETRY:
            logger.error("message(%s): missing field to check required value", message.id)
            self.settings.requeue(message)
        elif verdict is Verdict.PASS:
            await self._publish(message, body)

    async def _publish(self, message: Message, body: bytes) -> None:
        began = trio.current_time()
        address = self.chooser.choose(began)
        topic = self.destination_topic or message.topic
        try:
            await self.producers[address].publish(topic, body)
        except ClientError as error:
            self.chooser.mark(address, trio.current_time(), elapsed=None)
            logger.error("message(%s): not published: %s", message.id, error)
            self.settings.requeue(message)
            return
        now = trio.current_time()
        self.chooser.mark(address, now, elapsed=now - began)
        self.status.add(address, now - began)


async def run(options: RelayOptions, process: Process) -> None:
    """Relay messages until told to stop."""
    _check(options)
    settings: dict[str, Any] = cli.consumer_settings(PROGRAM, options)
    producing = ClientSettings.of(options.producer_opts).connection(cli.user_agent(PROGRAM))
    addresses = list(dict.fromkeys(options.destination_nsqd_tcp_addresses))
    async with AsyncExitStack() as stack:
        producers = {
            address: await stack.enter_async_context(open_producer(address, options=producing))
            for address in addresses
        }
        relay = Relay(
            producers,
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
    async with cli.open_source(topic, settings, process.shutdown) as consumer:
        await consumer.run(relay.handle, concurrency=settings["max_in_flight"])


def main() -> int:
    """The exit status of ``nsq_to_nsq``."""
    return cli.main(PROGRAM, RelayOptions, run)


if __name__ == "__main__":
    sys.exit(main())
