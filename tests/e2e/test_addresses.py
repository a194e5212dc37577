"""The address that an nsqd tells others to use for it."""

import json
import re
from urllib.request import urlopen

import pytest
from tests.e2e.daemons import wait_until

pytestmark = pytest.mark.slow


def test_an_address_found_automatically_is_told_to_nsqlookupd_and_by_the_nsqd_itself(daemon):
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}", "--broadcast-address=auto")
    assert nsqd.get("/info")["broadcast_address"] == "127.0.0.1"
    wait_until(lambda: lookupd.get("/nodes")["producers"], "the nsqd is registered")
    (producer,) = lookupd.get("/nodes")["producers"]
    assert producer["broadcast_address"] == "127.0.0.1"


def test_who_asks_outside_is_told_of_the_external_address(daemon):
    lookupd = daemon("nsqlookupd", "--external-http-address=127.0.0.1:0")
    told = "--external-address=nsq.example.com:9150:9151"
    daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}", told)
    wait_until(lambda: lookupd.get("/nodes")["producers"], "the nsqd is registered")
    (producer,) = lookupd.get("/nodes")["producers"]
    assert producer["broadcast_address"] == "127.0.0.1"
    (port,) = re.findall(r"EXTERNAL: listening on 127\.0\.0\.1:(\d+)", lookupd.log())
    with urlopen(f"http://127.0.0.1:{port}/nodes") as answer:
        (outside,) = json.load(answer)["producers"]
    assert (outside["broadcast_address"], outside["tcp_port"]) == ("nsq.example.com", 9150)
    assert outside["http_port"] == 9151
