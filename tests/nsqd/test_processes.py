import pytest

from nsqcore.app.config.options import OptionsError
from nsqd.config.options import NsqdOptions
from nsqd.processes import member_flags


def flags(number, **settings):
    return dict(flag.split("=", 1) for flag in member_flags(NsqdOptions(**settings), number))


def test_the_first_is_what_a_single_nsqd_would_be():
    assert member_flags(NsqdOptions(data_path="/d", processes=3), 0) == ["--processes=1"]


def test_each_further_one_has_ports_and_a_directory_of_its_own():
    told = flags(2, data_path="/d", id=1023, broadcast_tcp_port=9000)
    assert told == {
        "--processes": "1",
        "--tcp-address": "0.0.0.0:4350",
        "--http-address": "0.0.0.0:4351",
        "--https-address": "0.0.0.0:4352",
        "--broadcast-tcp-port": "9200",
        "--broadcast-http-port": "0",
        "--data-path": "/d/nsqd-2",
        "--node-id": "1",
        "--log-prefix": "[nsqd-2] ",
    }


@pytest.mark.parametrize(
    ("told", "second"),
    [
        ("nsq.example.com:4150", "nsq.example.com:4250"),
        ("[2001:db8::1]:4150:4151", "[2001:db8::1]:4250:4251"),
    ],
)
def test_each_further_one_has_external_ports_of_its_own(told, second):
    assert flags(1, data_path="/d", external_address=told)["--external-address"] == second


def test_what_is_off_or_chosen_by_the_system_stays_so():
    told = flags(1, http_address="", tcp_address="[::1]:0", https_address="/run/nsqd.sock")
    assert told["--http-address"] == ""
    assert told["--tcp-address"] == "[::1]:0"
    assert told["--https-address"] == "/run/nsqd.sock.1"


def test_a_port_without_a_number_is_refused():
    with pytest.raises(OptionsError, match="cannot count on from the address :nsqd"):
        flags(1, tcp_address=":nsqd")
