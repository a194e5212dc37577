"""A client as a program of its own, run on the host or piped into a container.

    peer.py consume TOPIC CHANNEL DELAY LOOKUPD_HTTP…    prints every body before it is finished
    peer.py publish TOPIC COUNT PREFIX NSQD_TCP…         prints every body that was acknowledged

A consumer takes DELAY seconds for each message, a producer a hundredth, so that things can
happen meanwhile. Both look for dead connections every second. `publish` ends by itself, `consume`
when it is killed; what was printed stands.
"""

import sys

import trio

import nsqclient

OPTIONS = nsqclient.ConnectionOptions(heartbeat_interval=1.0, max_reconnect_delay=1.0)


async def consume(topic: str, channel: str, delay: str, *lookupds: str) -> None:
    """Consume until killed."""
    async with nsqclient.open_consumer(
        topic, channel, lookupd=lookupds, lookupd_poll_interval=1.0, options=OPTIONS
    ) as consumer:
        async for message in consumer:
            async with message.process():
                await trio.sleep(float(delay))
                print(message.body.decode(), flush=True)


async def publish(topic: str, count: str, prefix: str, *nsqds: str) -> None:
    """Publish ``count`` messages, to the nsqds in turn; one that is refused goes to the next."""
    async with nsqclient.open_producer(nsqds, options=OPTIONS) as producer:
        for number in range(int(count)):
            body = f"{prefix}-{number}"
            while True:
                try:
                    await producer.publish(topic, body.encode())
                except nsqclient.ClientError as error:
                    print(f"{body}: {error}", file=sys.stderr, flush=True)
                    await trio.sleep(0.1)
                else:
                    break
            print(body, flush=True)
            await trio.sleep(0.01)


if __name__ == "__main__":
    trio.run({"consume": consume, "publish": publish}[sys.argv[1]], *sys.argv[2:])
