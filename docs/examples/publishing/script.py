"""No event loop: the blocking facade."""

import os

import nsqclient.sync

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")

with nsqclient.sync.open_producer(NSQD) as producer:
    producer.publish("orders", b"one", timeout=5)

with nsqclient.sync.open_consumer("orders", "billing", nsqd=NSQD) as consumer:
    for message in consumer:
        with message.process():
            print(message.body.decode())
        break
