"""The option names of the original client."""

import ssl
from pathlib import Path

import pytest
import trustme

from nsqcore.app.config.options import OptionsError
from nsqtools.shared.client_options import NEVER, ClientOption, ClientSettings, parse_option


def settings(*texts: str) -> ClientSettings:
    return ClientSettings.of([parse_option(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("max_attempts,3", "max_attempts", 3),
        ("heartbeat_interval,1m30s", "heartbeat_interval", 90.0),
        ("heartbeat-interval,5s", "heartbeat_interval", 5.0),
        ("client_id=me", "client_id", "me"),
        ("auth_secret,open=sesame, please", "auth_secret", "open=sesame, please"),
        ("tls_v1", "tls_v1", True),
        ("snappy,false", "snappy", False),
        ("lookupd_poll_jitter,0.5", "lookupd_poll_jitter", 0.5),
        ("local_addr,127.0.0.1:0", "local_addr", "127.0.0.1"),
        ("local_addr,[::1]:4000", "local_addr", "::1"),
        ("local_addr,:0", "local_addr", ""),
        ("dial_timeout,0s", "dial_timeout", NEVER),
    ],
)
def test_an_option_is_a_name_and_a_value(text, name, value):
    assert parse_option(text) == ClientOption(name, value)


@pytest.mark.parametrize(
    "text",
    [
        "no_such_option,1",
        "",
        "heartbeat_interval",
        "heartbeat_interval,90",
        "sample_rate,100",
        "deflate_level,0",
        "lookupd_poll_interval,1ms",
        "backoff_strategy,linear",
        "tls_v1,perhaps",
        "tls_min_version,1.2",
        "max_in_flight,-1",
        "local_addr,127.0.0.1",
        "local_addr,127.0.0.1:http",
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(text):
    with pytest.raises(ValueError, match=r"option|client"):
        parse_option(text)


def test_options_reach_the_connection():
    connection = settings(
        "client_id,me",
        "hostname,here",
        "heartbeat_interval,5s",
        "sample_rate,33",
        "deflate",
        "deflate_level,3",
        "msg_timeout,90s",
        "output_buffer_size,100",
        "output_buffer_timeout,10ms",
        "auth_secret,secret",
        "dial_timeout,3s",
    ).connection("agent/1")
    assert connection.connect_timeout == 3
    assert connection.auth_secret == "secret"
    fields = connection.identify()
    expected = {
        "client_id": "me",
        "hostname": "here",
        "user_agent": "agent/1",
        "heartbeat_interval": 5000,
        "sample_rate": 33,
        "deflate": True,
        "deflate_level": 3,
        "msg_timeout": 90_000,
        "output_buffer_size": 100,
        "output_buffer_timeout": 10,
    }
    assert expected.items() <= fields.items()


def test_the_last_of_an_option_counts():
    assert settings("client_id,a", "client_id,b").connection("x").client_id == "b"


def test_options_reach_the_consumer():
    consumer = settings(
        "max_backoff_duration,7s",
        "backoff_multiplier,2s",
        "lookupd_poll_interval,3s",
        "lookupd_poll_jitter,0",
        "lookupd_poll_timeout,4s",
    ).consumer()
    assert consumer == {
        "max_backoff": 7.0,
        "backoff_unit": 2.0,
        "lookupd_poll_interval": 3.0,
        "lookupd_poll_jitter": 0.0,
        "lookupd_timeout": 4.0,
    }


def test_no_multiplier_means_no_backoff():
    assert settings("backoff_multiplier,0s").consumer() == {"max_backoff": 0.0}


def test_requeue_delay_grows_with_the_attempts_up_to_a_limit():
    given = settings("default_requeue_delay,100ms", "max_requeue_delay,250ms")
    assert [given.requeue_delay(attempts) for attempts in (1, 2, 3)] == [0.1, 0.2, 0.25]
    assert settings().requeue_delay(1) == 90


def test_no_attempts_at_all_means_no_limit():
    assert settings().max_attempts(5) == 5
    assert settings("max_attempts,2").max_attempts(5) == 2
    assert settings("max_attempts,0").max_attempts(5) is None


@pytest.mark.parametrize(
    "texts", [("snappy", "deflate"), ("heartbeat_interval,2m",), ("tls_v1", "tls_root_ca_file,/x")]
)
def test_options_that_do_not_go_together_are_refused(texts):
    with pytest.raises(OptionsError):
        settings(*texts).connection("x")


def test_options_without_effect_are_named():
    given = settings("read_timeout,1m", "max_in_flight,7", "snappy", "backoff_strategy,exponential")
    assert given.unused() == ["max_in_flight", "read_timeout"]
    assert settings("backoff_strategy,full_jitter").unused() == ["backoff_strategy"]


def test_tls_options_make_a_context(tmp_path: Path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("client")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    checked = settings(
        "tls_v1",
        f"tls_root_ca_file,{tmp_path}/ca.pem",
        f"tls_cert,{tmp_path}/cert.pem",
        f"tls_key,{tmp_path}/key.pem",
        "tls_min_version,tls1.3",
    ).connection("x")
    assert isinstance(checked.tls, ssl.SSLContext)
    assert checked.tls.verify_mode is ssl.CERT_REQUIRED
    assert checked.tls.minimum_version is ssl.TLSVersion.TLSv1_3
    assert len(checked.tls.get_ca_certs()) == 1
    unchecked = settings("tls_v1", "tls_insecure_skip_verify").connection("x")
    assert isinstance(unchecked.tls, ssl.SSLContext)
    assert unchecked.tls.verify_mode is ssl.CERT_NONE
    assert settings("tls_insecure_skip_verify").connection("x").tls is False


def test_a_secret_is_not_shown():
    option = parse_option("auth_secret,hush")
    assert "hush" not in repr(option)
    assert "hush" not in repr(ClientSettings.of([option]))


def test_a_secret_in_a_file_is_read_when_it_is_said(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("first\n")
    secret = settings(f"auth_secret_file,{file}").connection("agent/1").auth_secret
    assert callable(secret)
    assert secret() == "first"
    file.write_text("another\n")
    assert secret() == "another"
    with pytest.raises(OptionsError, match=r"auth_secret_file: .*No such file"):
        settings(f"auth_secret_file,{tmp_path}/none").connection("agent/1")
