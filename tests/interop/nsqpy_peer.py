"""A program written with nsq-py; its arguments are those of `pynsq_peer`.

nsqpy_peer.py publish ADDRESS TOPIC < bodies
nsqpy_peer.py consume TOPIC CHANNEL COUNT LOOKUPD

It blocks, and names are bytes.
"""

import sys

from nsq.client import Client
from nsq.reader import Reader
from nsq.response import Message


def publish(address: str, topic: str) -> None:
    bodies = sys.stdin.buffer.read().splitlines()
    client = Client(nsqd_tcp_addresses=[address])
    half = len(bodies) // 2
    for body in bodies[:half]:
        client.pub(topic.encode(), body)
    client.mpub(topic.encode(), *bodies[half:])


def consume(topic: str, channel: str, count: str, lookupd: str) -> None:
    reader = Reader(
        topic.encode(), channel.encode(), lookupd_http_addresses=[f"http://{lookupd}"],
        max_in_flight=20,
    )  # fmt: skip
    left = int(count)
    while left:
        for message in reader.read():
            if not isinstance(message, Message):
                continue
            if message.attempts == 1 and left % 7 == 0:
                message.touch()
                message.req(0)
                continue
            sys.stdout.buffer.write(message.body + b"\n")
            message.fin()
            left -= 1
    reader.read()  # the last FIN still has to leave


if __name__ == "__main__":
    {"publish": publish, "consume": consume}[sys.argv[1]](*sys.argv[2:])
