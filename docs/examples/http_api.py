"""The HTTP interfaces of nsqd and nsqlookupd."""

import os

import trio

import nsqclient

NSQD_HTTP = os.environ.get("NSQD_HTTP", "127.0.0.1:4151")
LOOKUPD = os.environ.get("LOOKUPD", "127.0.0.1:4161")


async def main() -> None:
    async with nsqclient.NsqdHttp(NSQD_HTTP) as nsqd, nsqclient.LookupdHttp(LOOKUPD) as lookupd:
        await nsqd.create_topic("orders")
        await nsqd.create_channel("orders", "billing")
        await nsqd.publish("orders", b"over HTTP")
        stats = await nsqd.stats("orders", include_clients=False)
        print(stats["topics"][0]["channels"][0]["channel_name"])
        print([producer.tcp_port > 0 for producer in await lookupd.nodes()])


trio.run(main)
