"""The address that an nsqd tells others to use for it."""

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
