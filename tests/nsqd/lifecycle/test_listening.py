"""Where an nsqd listens."""

import socket

import pytest

from nsqcore.app.config.options import OptionsError
from nsqd.config.options import NsqdOptions
from nsqd.config.settings import nsqd_settings
from nsqd.lifecycle.listening import open_listeners


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


@pytest.fixture
def shared_port():
    """A port that nobody has, held so that only a shared address can be there."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


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


def test_several_listen_at_a_shared_address_and_nobody_else_does(opened, shared_port):
    address = f"127.0.0.1:{shared_port}"
    first = opened(shared_tcp_address=address)
    second = opened(shared_tcp_address=address)
    assert first.shared_tcp.address == second.shared_tcp.address == address
    with pytest.raises(OptionsError, match="listen"):
        opened(tcp_address=address)
    second.close()
    assert can_connect(shared_port)


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
