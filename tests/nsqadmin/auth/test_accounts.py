import hashlib
from base64 import b64encode

import pytest

from nsqadmin.auth.accounts import Accounts, Role, parse_accounts
from nsqadmin.auth.passwords import hash_password, verify_password
from nsqcore.app.config.options import OptionsError


def cheap_hash(password="secret"):
    """scrypt at its cheapest: what is tested is not how long it takes."""
    salt = b"salt"
    digest = hashlib.scrypt(password.encode(), salt=salt, n=2, r=1, p=1, dklen=32)
    return f"scrypt$2$1$1${b64encode(salt).decode()}${b64encode(digest).decode()}"


@pytest.mark.slow
def test_a_hashed_password_is_recognized_and_no_other():
    hashed = hash_password("tr0ub4dor")
    assert verify_password("tr0ub4dor", hashed)
    assert not verify_password("tr0ub4dor ", hashed)
    assert hashed != hash_password("tr0ub4dor")


@pytest.mark.parametrize(
    "strange",
    ["", "scrypt$", "md5$1$2$3$4$5", "scrypt$x$1$1$c2E=$c2E=", "scrypt$4294967296$8$1$c2E=$c2E="],
)
def test_what_is_no_hash_fits_no_password(strange):
    assert not verify_password("secret", strange)


def test_the_file_has_a_user_per_line():
    content = f"# team\n\nann:admin:{cheap_hash()}\nvic:viewer:{cheap_hash()}\n"
    accounts = parse_accounts(content, "users")
    assert {name: account.role for name, account in accounts.items()} == {
        "ann": Role.ADMIN,
        "vic": Role.VIEWER,
    }


@pytest.mark.parametrize(
    "line", ["ann", "ann:root:scrypt$x", "ann:admin:plaintext", ":admin:scrypt$x"]
)
def test_a_line_that_is_wrong_is_named(line):
    with pytest.raises(OptionsError, match="users, line 2"):
        parse_accounts(f"# x\n{line}\n", "users")


def test_a_name_may_be_there_once():
    with pytest.raises(OptionsError, match="twice"):
        parse_accounts(f"a:viewer:{cheap_hash()}\na:admin:{cheap_hash()}", "users")


def test_a_changed_file_is_read_again_and_a_broken_one_is_not_taken(tmp_path):
    path = tmp_path / "users"
    path.write_text(f"ann:viewer:{cheap_hash()}\n")
    accounts = Accounts(path)
    assert accounts.get("ann").role is Role.VIEWER
    path.write_text(f"ann:operator:{cheap_hash()}\n\n")
    assert accounts.get("ann").role is Role.OPERATOR
    path.write_text("rubbish")
    assert accounts.get("ann").role is Role.OPERATOR


def test_a_right_password_opens_the_account(tmp_path):
    path = tmp_path / "users"
    path.write_text(f"ann:admin:{cheap_hash()}\n")
    assert Accounts(path).verify("ann", "secret").name == "ann"
    assert Accounts(path).verify("ann", "wrong") is None
