import pytest

from nsqadmin.config.options import NsqadminOptions, check, normal_base_path
from nsqcore.app.config.load import load
from nsqcore.app.config.options import OptionsError


@pytest.mark.parametrize(
    ("given", "path"),
    [("", "/"), ("/", "/"), ("admin", "/admin"), ("/a/b/", "/a/b"), ("//a//b", "/a/b")],
)
def test_a_base_path_begins_with_a_slash_and_ends_without(given, path):
    assert normal_base_path(given) == path
    assert NsqadminOptions(base_path=given).base_path == path


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "required"),
        ({"nsqd_http_addresses": ["a:1"], "nsqlookupd_http_addresses": ["b:1"]}, "not both"),
        ({"nsqd_http_addresses": ["a:1"], "http_client_tls_cert": "x"}, "tls-key must"),
        ({"nsqd_http_addresses": ["a:1"], "http_client_tls_key": "x"}, "tls-cert must"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options, text):
    with pytest.raises(OptionsError, match=text):
        check(NsqadminOptions(**options))


def test_flags_and_keys_are_those_of_the_original(tmp_path):
    path = tmp_path / "nsqadmin.cfg"
    path.write_text('admin_users = ["ann"]\nnsqlookupd_http_addresses = ["l:4161"]\n')
    options = load(NsqadminOptions, "nsqadmin", [f"--config={path}", "--statsd-interval=30s"], {})
    assert options.admin_users == ("ann",)
    assert options.nsqlookupd_http_addresses == ("l:4161",)
    assert options.statsd_interval == 30.0


@pytest.mark.parametrize(
    "flag",
    [
        "--allow-config-from-cidr=x",
        "--nsqd-http-address=nohost",
        "--trusted-proxy=1.2.3",
        "--auth-file=/nowhere/x",
        "--http-client-request-timeout=-1s",
        "--http-client-connect-timeout=-1s",
        "--statsd-interval=0s",
        "--session-lifetime=0s",
        "--notification-http-endpoint=host:80",
        "--notification-http-endpoint=http://host:99999/",
    ],
)
def test_a_setting_that_cannot_be_meant_ends_the_program(flag, capsys):
    with pytest.raises(SystemExit) as ended:
        load(NsqadminOptions, "nsqadmin", [flag], {})
    assert ended.value.code == 1
    assert flag.split("=")[0] in capsys.readouterr().err
