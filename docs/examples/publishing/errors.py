"""What can go wrong with a publish, and how long it may take."""

import os

import anyio
import trio

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


async def publish(producer: nsqclient.Producer, body: bytes) -> str:
    try:
        with anyio.fail_after(5):
            await producer.publish("orders", body)
    except nsqclient.PublishError as error:
        if error.code.endswith("PUB_FAILED"):
            return "no nsqd can take messages now; try again later"
        return f"refused: {error.code}"  # nsqd does not want it; trying again is of no use
    except nsqclient.ConnectionLost as error:
        # sent: the answer was lost, nsqd may have the message. Not sent: it does not.
        return f"lost, sent: {error.sent}"
    except TimeoutError:
        return "no answer in time; nsqd may have the message"
    return "published"


async def main() -> None:
    async with nsqclient.open_producer(NSQD) as producer:
        print(await publish(producer, b"fine"))
        print(await publish(producer, b""))
    async with nsqclient.open_producer("127.0.0.1:1") as producer:
        print(await publish(producer, b"to nobody"))


trio.run(main)
