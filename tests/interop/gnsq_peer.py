"""A program written with gnsq, on gevent; its arguments are those of `pynsq_peer`.

gnsq_peer.py publish ADDRESS TOPIC < bodies
gnsq_peer.py consume TOPIC CHANNEL COUNT LOOKUPD
"""

import sys
from typing import Any

import gevent
import gnsq


def publish(address: str, topic: str) -> None:
    bodies = sys.stdin.buffer.read().splitlines()
    producer = gnsq.Producer(address)
    producer.start()
    half = len(bodies) // 2
    for body in bodies[:half]:
        producer.publish(topic, body)
    producer.multipublish(topic, bodies[half:])
    producer.close()
    producer.join()


def consume(topic: str, channel: str, count: str, lookupd: str) -> None:
    consumer = gnsq.Consumer(
        topic, channel, lookupd_http_addresses=[lookupd], max_in_flight=20, max_tries=0
    )
    left = int(count)

    @consumer.on_message.connect
    def handle(_: Any, message: Any) -> None:
        nonlocal left
        if message.attempts == 1 and left % 7 == 0:
            message.touch()
            message.requeue(0, backoff=False)
            return
        sys.stdout.buffer.write(message.body + b"\n")
        left -= 1
        if not left:
            gevent.spawn_later(0.3, consumer.close)  # the last FIN still has to leave

    consumer.start()


if __name__ == "__main__":
    {"publish": publish, "consume": consume}[sys.argv[1]](*sys.argv[2:])
