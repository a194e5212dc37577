"""The options of nsqd in the units of its parts."""

import pytest

from nsqcore.net.tls import TlsError
from nsqd.options import TOPOLOGY_AWARE_CONSUMPTION, NsqdOptions, TLSRequired
from nsqd.settings import (
    auth_settings,
    client_settings,
    engine_settings,
    server_tls,
    statsd_settings,
)

MS = 1_000_000


def options(**settings):
    return NsqdOptions(**({"broadcast_address": "me"} | settings))


def test_times_for_clients_are_milliseconds_where_the_wire_has_them_and_else_ns():
    settings = client_settings(
        options(
            msg_timeout=1.5,
            max_msg_timeout=120.0,
            max_req_timeout=0.25,
            max_heartbeat_interval=5.0,
            output_buffer_timeout=0.1,
            min_output_buffer_timeout=0.01,
            max_output_buffer_timeout=1.0,
        )
    )
    limits = settings.limits
    assert (limits.msg_timeout, limits.max_msg_timeout) == (1500, 120_000)
    assert (limits.max_heartbeat_interval, limits.output_buffer_timeout) == (5000, 100)
    assert (limits.min_output_buffer_timeout, limits.max_output_buffer_timeout) == (10, 1000)
    assert (settings.max_req_timeout, settings.max_msg_timeout) == (250 * MS, 120_000 * MS)


def test_sizes_and_counts_for_clients_are_those_of_the_options():
    settings = client_settings(
        options(max_msg_size=10, max_body_size=20, max_rdy_count=3, max_output_buffer_size=99)
    )
    assert (settings.max_msg_size, settings.max_body_size) == (10, 20)
    assert settings.limits.max_rdy_count == 3
    assert settings.limits.max_output_buffer_size == 99


def test_tls_is_offered_where_there_is_a_certificate():
    assert not client_settings(options()).limits.tls
    assert client_settings(options(tls_cert="c", tls_key="k")).limits.tls


@pytest.mark.parametrize("which", TLSRequired)
def test_tls_is_required_of_clients_whatever_holds_for_http(which):
    settings = client_settings(options(tls_cert="c", tls_key="k", tls_required=which))
    assert settings.tls_required is (which is not TLSRequired.NO)


def test_auth_is_required_where_there_are_auth_servers():
    assert not client_settings(options()).limits.auth_required
    with_auth = options(
        auth_http_addresses=("a:1", "b:2"),
        auth_http_request_method="post",
        http_client_connect_timeout=1.0,
        http_client_request_timeout=3.0,
        tls_root_ca_file="ca",
    )
    assert client_settings(with_auth).limits.auth_required
    settings = auth_settings(with_auth)
    assert (settings.addresses, settings.method) == (("a:1", "b:2"), "post")
    assert (settings.connect_timeout, settings.request_timeout) == (1.0, 3.0)
    assert settings.root_ca_file == "ca"


def test_the_engine_knows_of_topology_only_by_the_experiment():
    assert not engine_settings(options(topology_region="r")).topology_aware
    assert engine_settings(options(enable_experiment=(TOPOLOGY_AWARE_CONSUMPTION,))).topology_aware
    settings = engine_settings(options(mem_queue_size=5, id=7, max_channel_consumers=2))
    assert (settings.mem_queue_size, settings.node_id, settings.max_channel_consumers) == (5, 7, 2)


def test_statsd_is_told_of_this_host():
    settings = statsd_settings(options(statsd_address="s:1", statsd_prefix="nsq.%s"), "a.b", 4151)
    assert (settings.address, settings.prefix) == ("s:1", "nsq.a_b_4151.")


def test_certificates_are_read_at_once(tmp_path):
    assert server_tls(options()) is None
    with pytest.raises(TlsError, match=r"nothing\.pem"):
        server_tls(options(tls_cert=str(tmp_path / "nothing.pem"), tls_key="k"))
    with pytest.raises(TlsError, match=r"nothing\.pem"):
        server_tls(options(tls_root_ca_file=str(tmp_path / "nothing.pem")))
