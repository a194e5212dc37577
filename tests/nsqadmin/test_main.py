import io

import pytest

from nsqadmin.__main__ import main
from nsqadmin.auth.accounts import verify_password


@pytest.mark.slow
def test_a_password_is_hashed_for_the_file(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    assert main(["--hash-password"]) == 0
    assert verify_password("secret", capsys.readouterr().out.strip())


def test_no_password_is_no_password(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert main(["--hash-password"]) == 1
    assert "empty password" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (["-hash-password"], {}),
        (["--hash-password=true"], {}),
        ([], {"NSQADMIN_HASH_PASSWORD": "1"}),
    ],
)
@pytest.mark.usefixtures("cheap_hashes")
def test_hashing_can_be_asked_for_in_every_way_of_an_option(
    monkeypatch, capsys, flags, environment
):
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(flags) == 0
    assert verify_password("secret", capsys.readouterr().out.rstrip("\n"))


def test_hashing_is_not_asked_for_by_false():
    # It goes on to run the daemon, which finds nobody to ask.
    assert main(["--hash-password=false"]) == 1
