"""A program written with asyncnsq, on asyncio; its arguments are those of `pynsq_peer`.

asyncnsq_peer.py publish ADDRESS TOPIC < bodies
asyncnsq_peer.py consume TOPIC CHANNEL COUNT LOOKUPD
"""

import asyncio
import sys

from asyncnsq import create_reader, create_writer


async def publish(address: str, topic: str) -> None:
    bodies = sys.stdin.buffer.read().splitlines()
    host, _, port = address.rpartition(":")
    writer = await create_writer(
        host=host, port=int(port), heartbeat_interval=30000, feature_negotiation=True,
        tls_v1=False, snappy=False, deflate=False,
    )  # fmt: skip
    half = len(bodies) // 2
    for body in bodies[:half]:
        await writer.pub(topic, body)
    await writer.mpub(topic, *bodies[half:])
    writer.close()


async def consume(topic: str, channel: str, count: str, lookupd: str) -> None:
    host, _, port = lookupd.rpartition(":")
    reader = await create_reader(lookupd_http_addresses=[(host, int(port))], max_in_flight=20)
    await reader.subscribe(topic, channel)
    left = int(count)
    async for message in reader.messages():
        if message.attempts == 1 and left % 7 == 0:
            await message.touch()
            await message.req(0)
            continue
        sys.stdout.buffer.write(message.body + b"\n")
        await message.fin()
        left -= 1
        if not left:
            break
    await asyncio.sleep(0.3)  # the last FIN still has to leave
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run({"publish": publish, "consume": consume}[sys.argv[1]](*sys.argv[2:]))
