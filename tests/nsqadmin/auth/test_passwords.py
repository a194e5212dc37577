"""Password hashes: werkzeug's, and those of version 0.1."""

import pytest
from tests.nsqadmin.auth.test_accounts import cheap_hash
from werkzeug.security import generate_password_hash

from nsqadmin.auth.passwords import is_hash, verify_password


def test_a_hash_of_version_0_1_is_still_good():
    assert is_hash(cheap_hash())
    assert verify_password("secret", cheap_hash())
    assert not verify_password("Secret", cheap_hash())


def test_a_hash_of_werkzeug_is_good():
    hashed = generate_password_hash("secret", "scrypt:1024:8:1")
    assert is_hash(hashed)
    assert verify_password("secret", hashed)
    assert not verify_password("Secret", hashed)


@pytest.mark.parametrize(
    "strange",
    [
        "", "secret", "scrypt", "scrypt$", "scrypt:65536:8:2", "md5$salt$0", "plain$$secret",
        "pbkdf2:sha256:1$salt$" + "0" * 64, "scrypt:3:1:1$salt$" + "0" * 128,
        "scrypt:999999999:8:1$salt$" + "0" * 128, "scrypt$4294967296$8$1$c2E=$c2E=",
        "scrypt$2$1$1$c2E=$\u00e9", "scrypt:2:1:1$salt$" + "z" * 128,
    ],
)  # fmt: skip
def test_what_is_no_hash_fits_no_password(strange):
    assert not verify_password("secret", strange)


def test_a_password_that_is_very_long_is_not_hashed():
    assert not verify_password("x" * 1025, generate_password_hash("x" * 1025, "scrypt:1024:8:1"))
