"""Publish to the nsqds that nsqlookupd knows, those in our zone first."""

import os

import trio

import nsqclient

LOOKUPD = os.environ.get("LOOKUPD", "127.0.0.1:4161")


async def main() -> None:
    here = nsqclient.ConnectionOptions(topology_region="eu", topology_zone="eu-1")
    async with nsqclient.open_producer(lookupd=LOOKUPD, options=here) as producer:
        await producer.publish("orders", b"one")
        print("found", len(producer.connected), "nsqd")


trio.run(main)
