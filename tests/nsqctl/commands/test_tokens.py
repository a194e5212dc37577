"""nsqctl token."""

import pytest

from nsqcore.access.file import parse_credentials
from nsqcore.access.roles import Role
from nsqcore.access.tokens import hash_token
from nsqctl.__main__ import main


def test_the_token_is_told_once_and_its_entry_holds_only_a_hash(capsys):
    assert main(["token", "bob", "--role=publish", "--topics=orders*"]) == 0
    token, line = capsys.readouterr().out.splitlines()
    assert token not in line
    grant = parse_credentials(line, "f").tokens[hash_token(token)]
    assert (grant.name, grant.roles, grant.topics) == ("bob", {Role.PUBLISH}, ("orders*",))


def test_without_topics_it_is_for_all(capsys):
    main(["token", "ops", "--role=operate,publish"])
    token, line = capsys.readouterr().out.splitlines()
    assert parse_credentials(line, "f").tokens[hash_token(token)].topics == ("*",)


@pytest.mark.parametrize(
    "arguments",
    [["bob"], ["bob", "--role=root"], ["b:b", "--role=read"], ["b", "--role=read", "--topics=a b"]],
)
def test_what_makes_no_entry_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["token", *arguments])
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""
