"""A scrape of very many channels, and what it does to the messages."""

import json
import threading

import pytest
from tests.e2e.daemons import Daemon, wait_until

pytestmark = pytest.mark.slow

TOPICS, CHANNELS = 1000, 10


def test_ten_thousand_channels_are_scraped_in_a_second_while_messages_flow(tmp_path):
    daemon = Daemon("nsqd", tmp_path)
    daemon.data.mkdir()
    channels = [{"name": f"c{number}", "paused": False} for number in range(CHANNELS)]
    topics = [{"name": f"t{n}", "paused": False, "channels": channels} for n in range(TOPICS)]
    (daemon.data / "nsqd.dat").write_text(json.dumps({"topics": topics, "version": "1.3.0"}))
    daemon.start()
    published, ended = 0, threading.Event()

    def publish() -> None:
        nonlocal published
        while not ended.is_set():
            daemon.post("/pub?topic=t0", b"x")
            published += 1

    def scrape() -> bool:
        """Whether it took less than a second of the processor, and some messages came meanwhile."""
        began, before = daemon.processor_time(), published
        status, text = daemon.request("GET", "/metrics")
        took, came = daemon.processor_time() - began, published - before
        assert status == 200
        assert text.count(b"nsqd_channel_depth{") == TOPICS * CHANNELS
        return took < 1.0 and came >= 3

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        wait_until(scrape, "a scrape is quick and holds up nobody")
    finally:
        ended.set()
        publisher.join()
        daemon.clean_up()
