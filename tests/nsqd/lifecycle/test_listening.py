"""Where an nsqd listens."""

import socket

import pytest

from nsqcore.app.options import OptionsError
from nsqd.lifecycle.listening import open_listeners
from nsqd.options import NsqdOptions
from nsqd.settings import nsqd_settings


@pytest.fixture
def opened():
    """Opens the listeners of some options; all are closed after the test."""
    made = []

    def open_them(**settings):
        given = {"tcp_address": "127.0.0.1:0", "http_address": "127.0.0.1:0"}
        options = NsqdOptions(
            **({"https_address": "", "broadcast_address": "me"} | given | settings)
        )
        made.append(open_listeners(nsqd_settings(options).listen))
        return made[-1]

    yield open_them
    for listeners in made:
        listeners.close()


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def test_tcp_and_http_are_opened_and_closed_together(opened):
    listeners = opened()
    ports = listeners.tcp.port, listeners.http.port
    assert all(map(can_connect, ports))
    listeners.close()
    assert not any(map(can_connect, ports))


def test_an_empty_address_switches_http_off(opened):
    assert opened(http_address="").http is None


def test_https_needs_a_certificate_and_an_address(opened):
    cert = {"tls_cert": "c", "tls_key": "k"}
    assert opened(https_address="127.0.0.1:0").https is None
    assert opened(**cert).https is None
    assert opened(**cert, https_address="127.0.0.1:0").https.port > 0


def test_an_address_that_cannot_be_listened_on_closes_the_others(opened):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    with pytest.raises(OptionsError, match=r"listen \(/nowhere/socket\) failed") as refusal:
        opened(tcp_address=f"127.0.0.1:{free}", http_address="/nowhere/socket")
    assert refusal.value.status == 1
    assert not can_connect(free)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:nonsense", "127.0.0.1:99999", "no.such.host.invalid:1"]
)
def test_an_address_that_is_none_is_an_error_of_the_options(opened, address):
    with pytest.raises(OptionsError, match="listen"):
        opened(tcp_address=address)
