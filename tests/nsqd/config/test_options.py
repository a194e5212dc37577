"""The settings of nsqd: what an operator of the original brings along."""

import pytest

from nsqcore.app.config.load import load
from nsqcore.app.config.options import settings
from nsqd.config.option_values import TLSRequired, default_node_id
from nsqd.config.options import NsqdOptions

# The flags of the original, 1.3.0 and its master branch.
ORIGINAL = """
    auth-http-address auth-http-request-method broadcast-address broadcast-http-port
    broadcast-tcp-port config data-path deflate e2e-processing-latency-percentile
    e2e-processing-latency-window-time enable-experiment http-address
    http-client-connect-timeout http-client-request-timeout https-address log-level log-prefix
    lookupd-tcp-address max-body-size max-bytes-per-file max-channel-consumers
    max-deflate-level max-heartbeat-interval max-msg-size max-msg-timeout
    max-output-buffer-size max-output-buffer-timeout max-rdy-count max-req-timeout
    mem-queue-size min-output-buffer-timeout msg-timeout node-id output-buffer-timeout
    queue-scan-selection-count queue-scan-worker-pool-max snappy statsd-address
    statsd-exclude-ephemeral statsd-interval statsd-mem-stats statsd-prefix
    statsd-udp-packet-size sync-every sync-timeout tcp-address tls-cert
    tls-client-auth-policy tls-key tls-min-version tls-required tls-root-ca-file
    topology-region topology-zone verbose worker-id
"""


def options(*flags, env=None):
    return load(NsqdOptions, "nsqd", flags, env or {}, notes=[])


def refusal(capsys, *flags):
    with pytest.raises(SystemExit) as stop:
        options(*flags)
    return stop.value.code, capsys.readouterr().err


def test_every_flag_of_the_original_is_there():
    assert set(ORIGINAL.split()) <= {setting.flag for setting in settings(NsqdOptions, "nsqd")}


def test_everything_can_be_set_in_the_environment():
    found = options(env={"NSQD_MEM_QUEUE_SIZE": "7", "NSQD_LOOKUPD_TCP_ADDRESS": "a:1,b:1"})
    assert found.mem_queue_size == 7
    assert found.nsqlookupd_tcp_addresses == ("a:1", "b:1")


@pytest.mark.parametrize(
    ("flag", "required"),
    [
        ("--tls-required", TLSRequired.YES),
        ("--tls-required=true", TLSRequired.YES),
        ("--tls-required=TCP-HTTPS", TLSRequired.EXCEPT_HTTP),
        ("--tls-required=0", TLSRequired.NO),
        ("--tls-client-auth-policy=require", TLSRequired.YES),
    ],
)
def test_tls_can_be_required_of_all_or_of_tcp(flag, required):
    assert options("--tls-cert=c", "--tls-key=k", flag).tls_required is required


def test_tls_versions_are_numbers_of_the_protocol():
    assert options().tls_min_version == 0x301
    assert options("--tls-min-version=tls1.2").tls_min_version == 0x303
    assert options("--tls-min-version=").tls_min_version == 0x301


def test_percentiles_gather_and_are_sorted():
    flag = "--e2e-processing-latency-percentile"
    found = options(f"{flag}=0.5", f"{flag}=0.99,0.95")
    assert found.e2e_processing_latency_percentiles == (0.99, 0.95, 0.5)


def test_the_node_id_is_the_same_at_every_start():
    assert options().id == default_node_id()
    assert 0 <= default_node_id() < 1024


def test_queue_files_may_be_as_small_as_can_be():
    assert load(NsqdOptions, "nsqd", ["--max-bytes-per-file=0"], {}).max_bytes_per_file == 0


@pytest.mark.parametrize("flag", ["--tls-min-version=tls9", "--tls-required=often", "--sigterm=x"])
def test_a_flag_that_does_not_parse_ends_with_2(capsys, flag):
    status, message = refusal(capsys, flag)
    assert status == 2
    assert flag.lstrip("-").partition("=")[0] in message


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--max-deflate-level=0", "--max-deflate-level must be [1,9]"),
        ("--max-deflate-level=10", "--max-deflate-level must be [1,9]"),
        ("--node-id=-1", "--node-id must be [0,1024)"),
        ("--node-id=1024", "--node-id must be [0,1024)"),
        ("--auth-http-request-method=put", "--auth-http-request-method must be post or get"),
        ("--e2e-processing-latency-percentile=1.5", "--e2e-processing-latency-percentile"),
        ("--e2e-processing-latency-percentile=0", "--e2e-processing-latency-percentile"),
        ("--e2e-processing-latency-percentile=x", "Could not parse: x"),
        ("--e2e-processing-latency-percentile=0.5,,0.9", "Could not parse: 0.5,,0.9"),
        ("--e2e-processing-latency-percentile=", "--e2e-processing-latency-percentile"),
        ("--mem-queue-size=-1", "--mem-queue-size must be 0 or more"),
        ("--tls-required", "cannot require TLS client connections without TLS key and cert"),
        ("--external-address=here", "--external-address expected <addr>:<TCP port>"),
        ("--external-address=:4150", "--external-address expected <addr>:<TCP port>"),
        ("--external-address=here:4150:", "--external-address expected <addr>:<TCP port>"),
        ("--external-address=here:0:1", "--external-address expected <addr>:<TCP port>"),
        ("--external-address=a:1:2:3", "--external-address expected <addr>:<TCP port>"),
        ("--external-address=::1", "--external-address expected <addr>:<TCP port>"),
        ("--tls-cert=c", "--tls-cert and --tls-key need each other"),
    ],
)
def test_impossible_settings_end_with_1_and_say_which(capsys, flag, words):
    status, message = refusal(capsys, flag)
    assert status == 1
    assert words in message


@pytest.mark.parametrize(
    "flag",
    [
        "--msg-timeout=0s",
        "--msg-timeout=-1s",
        "--max-msg-timeout=0s",
        "--max-req-timeout=-1s",
        "--max-heartbeat-interval=0s",
        "--sync-every=0",
        "--sync-timeout=0s",
        "--max-rdy-count=0",
        "--max-msg-size=0",
        "--max-body-size=-1",
        "--max-bytes-per-file=-1",
        "--max-output-buffer-size=-5",
        "--output-buffer-timeout=-1s",
        "--max-channel-consumers=-1",
        "--statsd-udp-packet-size=0",
        "--statsd-udp-packet-size=70000",
        "--statsd-interval=0s",
        "--auth-http-address=",
        "--auth-http-address=http://",
        "--auth-http-address=127.0.0.1:99999",
        "--auth-http-address=127.0.0.1:0",
        "--auth-http-address=https://127.0.0.1:99999/x",
        "--auth-http-address=ftp://127.0.0.1:99/x",
        "--auth-http-address=http://[::1/x",
        "--statsd-address=nowhere",
        "--statsd-address=127.0.0.1:99999",
        "--http-client-connect-timeout=0s",
        "--http-client-request-timeout=0s",
        "--e2e-processing-latency-window-time=0s",
        "--broadcast-address=",
        "--broadcast-address=user:pw@host/adm?",
        "--lookupd-tcp-address=host-without-port",
        "--lookupd-tcp-address=host:99999",
        "--enable-experiment=topology-aware",
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_and_named(capsys, flag):
    status, message = refusal(capsys, flag)
    assert status == 1
    assert flag.partition("=")[0] in message


@pytest.mark.parametrize(
    "address",
    ["auth", "auth:80", ":80", "[::1]:80", "auth:80/base", "https://u:p@auth/x?y=z"],
)
def test_auth_servers_are_given_as_for_the_original(address):
    assert options(f"--auth-http-address={address}").auth_http_addresses == (address,)


@pytest.mark.parametrize("policy", ["require_verify", "verify", "requireverify"])
def test_an_unknown_policy_for_client_certificates_is_refused(capsys, tmp_path, policy):
    flags = ("--tls-cert=c", "--tls-key=k")
    status, message = refusal(capsys, *flags, f"--tls-client-auth-policy={policy}")
    assert status == 2
    assert policy in message
    file = tmp_path / "c.toml"
    file.write_text(f'tls_client_auth_policy = "{policy}"')
    assert refusal(capsys, *flags, f"--config={file}")[0] == 1


def test_every_default_passes_its_own_check():
    found = NsqdOptions()
    for setting in settings(NsqdOptions, "nsqd"):
        value = getattr(found, setting.name)
        if setting.check:
            for item in value if setting.many else [value]:
                setting.check(item)
