"""A scrape of very many channels, and what it does to the messages."""

import json
import threading
import time

import pytest
from tests.e2e.daemons import Daemon

pytestmark = pytest.mark.slow

TOPICS, CHANNELS = 1000, 10


def test_ten_thousand_channels_are_scraped_in_a_second_while_messages_flow(tmp_path):
    daemon = Daemon("nsqd", tmp_path)
    daemon.data.mkdir()
    channels = [{"name": f"c{number}", "paused": False} for number in range(CHANNELS)]
    topics = [{"name": f"t{n}", "paused": False, "channels": channels} for n in range(TOPICS)]
    (daemon.data / "nsqd.dat").write_text(json.dumps({"topics": topics, "version": "1.3.0"}))
    daemon.start()
    published, ended = [], threading.Event()

    def publish() -> None:
        while not ended.is_set():
            daemon.post("/pub?topic=t0", b"x")
            published.append(time.monotonic())

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        scrapes = []
        for _ in range(5):
            began = time.monotonic()
            status, text = daemon.request("GET", "/metrics")
            scrapes.append((began, time.monotonic()))
            assert status == 200
            assert text.count(b"nsqd_channel_depth{") == TOPICS * CHANNELS
    finally:
        ended.set()
        publisher.join()
        daemon.clean_up()
    began, done = min(scrapes, key=lambda scrape: scrape[1] - scrape[0])
    assert done - began < 1.0  # the best of five: other tests may keep the machine busy
    assert sum(began < when < done for when in published) >= 3
