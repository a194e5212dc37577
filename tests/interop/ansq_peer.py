"""A program written with ansq, on asyncio; its arguments are those of `pynsq_peer`.

ansq_peer.py publish ADDRESS TOPIC < bodies
ansq_peer.py consume TOPIC CHANNEL COUNT LOOKUPD
"""

import asyncio
import sys

import ansq


async def publish(address: str, topic: str) -> None:
    bodies = sys.stdin.buffer.read().splitlines()
    writer = await ansq.create_writer(nsqd_tcp_addresses=[address])
    half = len(bodies) // 2
    for body in bodies[:half]:
        await writer.pub(topic, body)
    await writer.mpub(topic, bodies[half:])
    await writer.close()


async def consume(topic: str, channel: str, count: str, lookupd: str) -> None:
    reader = await ansq.create_reader(
        topic=topic, channel=channel, lookupd_http_addresses=[lookupd]
    )
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
    await reader.close()


if __name__ == "__main__":
    asyncio.run({"publish": publish, "consume": consume}[sys.argv[1]](*sys.argv[2:]))
