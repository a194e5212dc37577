"""The file of tokens and certificates."""

import pytest

from nsqcore.access.file import AuthFile, parse_credentials
from nsqcore.access.lines import BadLine, entry
from nsqcore.access.roles import Role
from nsqcore.access.tokens import hash_token, make_token

HASH = hash_token("secret")


def test_a_token_is_known_by_its_hash_alone():
    token = make_token()
    assert token != make_token()
    line = entry("bob", ("publish", "read"), hash_token(token), ("orders*", "billing"))
    assert token not in line
    grant = parse_credentials(line, "f").tokens[hash_token(token)]
    assert grant.name == "bob"
    assert grant.missing(Role.PUBLISH, "orders-1", "") == ""
    assert grant.missing(Role.READ, "billing", "") == ""
    assert grant.missing(Role.READ, "billing2", "") == "topic billing2"
    assert grant.missing(Role.READ, None, "") == "all topics"
    assert grant.missing(Role.OPERATE, "billing", "") == "role operate"


def test_a_certificate_is_known_by_its_common_name():
    found = parse_credentials("app:operate:cert:Big App: one.example topics=a*", "f")
    grant = found.of_certificate(("dns:x", "cn:Big App: one.example"))
    assert grant.missing(Role.OPERATE, "ab", "") == ""
    assert not found.tokens


@pytest.mark.parametrize(
    "name", ["dns:app.example", "uri:spiffe://x/y", "ip:10.0.0.1", "email:a@b"]
)
def test_other_names_in_a_certificate_say_their_kind_and_no_common_name_passes_for_one(name):
    found = parse_credentials(f"app:operate:cert:{name}", "f")
    assert found.of_certificate(("cn:x", name)).name == "app"
    assert found.of_certificate((f"cn:{name}", name.partition(":")[2])) is None


def test_what_nsqadmin_calls_roles_is_understood_and_its_passwords_are_left_out():
    found = parse_credentials(
        f"# people\n\nann:admin:scrypt:65536:8:2$x$y\nmon:viewer:{HASH}\n", "f"
    )
    assert found.tokens[HASH].roles == {Role.READ}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"bob:root:{HASH}", "unknown role 'root'"),
        (f"bob::{HASH}", "unknown role ''"),
        (f"bo b:read:{HASH}", "is no name"),
        (f":read:{HASH}", "is no name"),
        ("bob:read:s3cret", "expected name:role:hash"),
        ("bob:read:sha256:abc", "expected name:role:hash"),
        ("bob:read:cert:", "expected name:role:hash"),
        ("bob", "expected name:role:hash"),
        (f"bob:read:{HASH} topics=", "is no topic"),
        (f"bob:read:{HASH} topics=a,,b", "is no topic"),
        (f"bob:read:{HASH} topic=a", "expected name:role:hash"),
        (f"bob:read:{HASH}\nann:admin:{HASH}", "line 2: the same credential is there twice"),
    ],
)
def test_a_wrong_line_is_named_without_what_is_secret(line, reason):
    with pytest.raises(BadLine, match=reason) as caught:
        parse_credentials(line, "file")
    assert "s3cret" not in str(caught.value)
    assert HASH not in str(caught.value)


def test_a_file_that_has_become_wrong_changes_nothing(tmp_path, caplog):
    path = tmp_path / "auth"
    path.write_text(f"bob:read:{HASH}")
    file = AuthFile(path)
    file.load()
    path.write_text("bob:read:s3cret")
    file.reload()
    assert HASH in file.credentials.tokens
    assert "keeping the credentials in force" in caplog.text
    assert "s3cret" not in caplog.text
    path.write_text("")
    file.reload()
    assert not file.credentials.tokens
