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
