"""Whatever a setting is given, the program takes it or says in one line which setting is wrong."""

import json

import pytest

from nsqadmin.config.options import NsqadminOptions
from nsqcore.app.config.load import load
from nsqcore.app.config.options import settings
from nsqd.config.options import NsqdOptions
from nsqlookupd.options import NsqlookupdOptions

DAEMONS = {"nsqd": NsqdOptions, "nsqlookupd": NsqlookupdOptions, "nsqadmin": NsqadminOptions}
VALUES = ["", "-1", "1e400", "é", "127.0.0.1:99999", "9" * 5000]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["flag", "environment", "file"])
@pytest.mark.parametrize("program", DAEMONS)
def test_every_setting_takes_any_value_or_names_itself_in_one_line(
    program, source, tmp_path, capsys
):
    (tmp_path / "config").write_text("")
    for setting in settings(DAEMONS[program], program):
        if setting.name in ("config", "hash_password"):
            continue
        for value in [*(VALUES if source == "flag" else ["é"]), "a\0b"]:
            flags, environment, name = [f"--{setting.flag}={value}"], {}, setting.flag
            if source == "environment":
                flags, environment = [], {setting.variables[0]: value}
                name = setting.variables[0]
            elif source == "file":
                file, name = tmp_path / "config", setting.key
                file.write_text(f"{setting.key} = {json.dumps(value)}\n")
                flags = [f"--config={file}"]
            status = status_of(program, flags, environment)
            if status:
                assert status in (1, 2)
                error = capsys.readouterr().err
                assert error.count("\n") == 1, error
                assert name in error or setting.flag in error, error
                assert len(error) < 900, error


def status_of(program, flags, environment):
    """With which status the program ends; 0 if it would start."""
    try:
        load(DAEMONS[program], program, flags, environment, notes=[])
    except SystemExit as stop:
        return stop.code
    return 0


MISSING = "/nonexistent/file"


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        ("nsqd", ["--tcp-address="]),
        ("nsqd", ["--tcp-address=127.0.0.1"]),
        ("nsqd", ["--tcp-address=::1:4150"]),
        ("nsqd", ["--http-address=http://127.0.0.1:4151"]),
        ("nsqd", ["--https-address=user:pw@host:1"]),
        ("nsqd", ["--auth-http-address= "]),
        ("nsqd", [f"--tls-root-ca-file={MISSING}"]),
        ("nsqd", [f"--lookupd-tls-root-ca-file={MISSING}"]),
        ("nsqd", [f"--lookupd-tls-cert={MISSING}", f"--lookupd-tls-key={MISSING}"]),
        ("nsqlookupd", [f"--tls-root-ca-file={MISSING}"]),
        ("nsqadmin", ["--admin-user="]),
        ("nsqadmin", ["--trusted-proxy="]),
        ("nsqadmin", ["--allowed-host=http://x/"]),
        ("nsqadmin", ["--acl-http-header=a b"]),
        ("nsqadmin", [f"--dev-static-dir={MISSING}"]),
        ("nsqadmin", ["--graphite-url=graphite:80"]),
        ("nsqadmin", ["--http-client-tls-root-ca-file=" + "x" * 5000]),
    ],
)
def test_what_cannot_be_meant_does_not_start_all_the_same(program, flags, capsys):
    with pytest.raises(SystemExit) as stop:
        load(DAEMONS[program], program, flags, {}, notes=[])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{program}: {flags[0].partition('=')[0]} ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("address", ["nsqd.sock", "/run/nsqd.sock", ":0", "[::1]:0", "@nsqd"])
def test_paths_and_addresses_are_both_listened_on(address):
    found = load(NsqdOptions, "nsqd", [f"--tcp-address={address}"], {}, notes=[])
    assert found.tcp_address == address
