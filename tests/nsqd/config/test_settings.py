"""The options of nsqd in the units of its parts."""

import re
from pathlib import Path

import pytest

import nsqd
from nsqcore.net.tls import TlsError
from nsqcore.operations.certificates import TlsSettings, open_tls
from nsqcore.units import MS, SECOND
from nsqd.config.option_values import TOPOLOGY_AWARE_CONSUMPTION, TLSRequired
from nsqd.config.options import NsqdOptions
from nsqd.config.settings import (
    client_settings,
    durability_settings,
    engine_settings,
    nsqd_settings,
)

NSQD = Path(nsqd.__file__).parent


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


def test_the_longest_deferral_is_that_of_a_requeue_unless_it_is_set():
    assert client_settings(options(max_req_timeout=2.0)).max_defer_timeout == 2 * SECOND
    both = options(max_req_timeout=2.0, max_defer_timeout=86400.0)
    settings = client_settings(both)
    assert (settings.max_req_timeout, settings.max_defer_timeout) == (2 * SECOND, 86400 * SECOND)
    assert nsqd_settings(both).http.max_defer == 86400 * SECOND


def test_files_of_the_journal_have_room_for_the_largest_message():
    assert durability_settings(options(journal_file_size=8 << 20)).journal_file_size == 8 << 20
    large = options(journal_file_size=8 << 20, max_msg_size=100 << 20)
    assert durability_settings(large).journal_file_size > 100 << 20


def test_tls_is_offered_where_there_is_a_certificate():
    assert not client_settings(options()).limits.tls
    assert client_settings(options(tls_cert="c", tls_key="k")).limits.tls


@pytest.mark.parametrize("which", TLSRequired)
def test_tls_is_required_of_clients_whatever_holds_for_http(which):
    settings = client_settings(options(tls_cert="c", tls_key="k", tls_required=which))
    assert settings.tls_required is (which is not TLSRequired.NO)


def test_auth_is_required_where_there_are_auth_servers():
    assert not client_settings(options()).limits.auth_required
    assert client_settings(options(auth_http_addresses=("a:1",))).limits.auth_required


def test_the_engine_knows_of_topology_only_by_the_experiment():
    assert not engine_settings(options(topology_region="r")).rules.topology_aware
    assert engine_settings(
        options(enable_experiment=(TOPOLOGY_AWARE_CONSUMPTION,))
    ).rules.topology_aware


def test_no_part_of_nsqd_reads_its_options_but_its_settings():
    readers = {
        path.relative_to(NSQD).as_posix()
        for path in NSQD.rglob("*.py")
        if "from nsqd.config.options import" in path.read_text()
    }
    # The supervisor of --processes passes flags on; the service names the type.
    assert readers == {"config/settings.py", "program.py", "processes.py", "service.py"}
    assert not re.search(r"options\.\w", (NSQD / "service.py").read_text())


@pytest.mark.parametrize("which", ["certificate", "authorities"])
def test_certificates_are_read_at_once_and_named(tmp_path, which):
    paths = {"certificate": "", "key": "k", "authorities": ""}
    paths[which] = str(tmp_path / "nothing.pem")
    with pytest.raises(TlsError, match=r"nothing\.pem"):
        open_tls(TlsSettings(client_auth_policy="", min_version=0x303, **paths))
