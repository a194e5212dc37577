"""What an auth server's answer allows, and which answers make no sense."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.nsqd.client.conftest import SECOND, grant

from nsqd.client.permissions import (
    PUBLISH,
    SUBSCRIBE,
    BadPermissions,
    Permissions,
    parse_permissions,
)


def answer(**changes) -> bytes:
    return json.dumps({**json.loads(grant()), **changes}).encode()


def authorization(**changes) -> bytes:
    given = {"topic": ".*", "channels": [".*"], "permissions": ["subscribe", "publish"]}
    return answer(authorizations=[{**given, **changes}])


class TestAllowed:
    @pytest.mark.parametrize(
        ("pattern", "topic", "allowed"),
        [
            ("^t$", "t", True),
            ("^t$", "tt", False),
            ("good", "a_good_one", True),  # found anywhere
            ("", "anything", True),
            ("a|b", "xbx", True),
            ("(?i)TOPIC", "topic", True),
            ("^good.*$", "other", False),
            # Go's own
            (r"^[[:alpha:]_]+[[:digit:]]\z", "a_b1", True),
            (r"^[[:alpha:]_]+[[:digit:]]\z", "a_b1c", False),
            (r"^\w+\.\d$", "a.1", True),
            (r"^a\\z$", "az", False),
        ],
    )
    def test_a_topic_pattern_is_searched_for_in_the_name(self, pattern, topic, allowed):
        permissions = parse_permissions(grant(topic=pattern), 0)
        assert permissions.allow(topic, "c", SUBSCRIBE) is allowed
        assert permissions.allow(topic, "", PUBLISH) is allowed

    @pytest.mark.parametrize(
        ("patterns", "subscribe", "publish"),
        [
            ((".*",), True, True),
            (("^ch$",), True, False),
            (("c",), True, False),
            (("^$",), False, True),
            (("x", "^(ch)?$"), True, True),
            ((), False, False),
            (("^other$",), False, False),
        ],
    )
    def test_publishing_needs_a_channel_pattern_that_matches_nothing(
        self, patterns, subscribe, publish
    ):
        permissions = parse_permissions(grant(channels=patterns), 0)
        assert permissions.allow("t", "ch", SUBSCRIBE) is subscribe
        assert permissions.allow("t", "", PUBLISH) is publish

    def test_each_permission_is_for_itself(self):
        for allowed, other in ((SUBSCRIBE, PUBLISH), (PUBLISH, SUBSCRIBE)):
            permissions = parse_permissions(grant(permissions=(allowed,)), 0)
            assert permissions.allow("t", "", allowed)
            assert not permissions.allow("t", "", other)
        assert not parse_permissions(grant(permissions=()), 0).allow("t", "c", SUBSCRIBE)

    def test_one_of_several_authorizations_is_enough(self):
        both = [
            {"topic": "^a$", "channels": [".*"], "permissions": ["publish"]},
            {"topic": "^b$", "channels": [".*"], "permissions": ["subscribe"]},
        ]
        permissions = parse_permissions(answer(authorizations=both), 0)
        assert permissions.allow("a", "", PUBLISH)
        assert permissions.allow("b", "c", SUBSCRIBE)
        assert not permissions.allow("a", "c", SUBSCRIBE)
        assert not permissions.allow("b", "", PUBLISH)

    def test_the_ttl_is_counted_from_the_answer(self):
        assert parse_permissions(answer(ttl=3), 5 * SECOND).expires == 8 * SECOND

    def test_the_client_is_told_who_it_is_and_how_many_authorizations_it_has(self):
        permissions = parse_permissions(grant(), 0)
        assert permissions.reply() == (
            b'{"identity":"me","identity_url":"http://me","permission_count":1}'
        )

    def test_what_is_left_out_is_empty(self):
        permissions = parse_permissions(b'{"ttl": 60}', 0)
        assert (permissions.identity, permissions.identity_url) == ("", "")
        assert not permissions.authorizations
        assert not permissions.allow("t", "c", SUBSCRIBE)

    def test_keys_are_known_in_any_case(self):
        text = grant(topic="^t$").replace(b'"ttl"', b'"TTL"').replace(b'"topic"', b'"Topic"')
        permissions = parse_permissions(text.replace(b"authorizations", b"Authorizations"), 0)
        assert permissions.allow("t", "c", SUBSCRIBE)
        assert not permissions.allow("u", "c", SUBSCRIBE)


class TestBadReplies:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (b"", "not JSON"),
            (b"not json", "not JSON"),
            (b"\xff\xfe", "not JSON"),
            (b"[" * 100_000, "not JSON"),
            (b"[]", "not a JSON object"),
            (b"null", "not a JSON object"),
            (b"{}", "invalid TTL None"),
            (answer(ttl=0), "invalid TTL 0"),
            (answer(ttl=-5), "invalid TTL -5"),
            (answer(ttl="60"), "invalid TTL '60'"),
            (answer(ttl=1.5), "invalid TTL 1.5"),
            (answer(ttl=True), "invalid TTL True"),
            (answer(identity=5), "5 is not a string"),
            (answer(authorizations={}), "authorizations is not a list"),
            (answer(authorizations=["x"]), "not a JSON object"),
            (authorization(permissions=["subscribe", "admin"]), "unknown permission admin"),
            (authorization(permissions="publish"), "permissions is not a list"),
            (authorization(channels=".*"), "channels is not a list"),
            (authorization(topic="(["), "invalid pattern '\\(\\["),
            (authorization(channels=[".*", "(["]), "invalid pattern '\\(\\["),
            (authorization(topic="[[:nonsense:]]"), "invalid pattern"),
            (authorization(topic="a{99999999999999999999}"), "invalid pattern"),
            (authorization(topic="(" * 5000 + ")" * 5000), "invalid pattern"),
            (authorization(channels=["a"] * 10_000), "more than 10000 patterns"),
            (answer(ttl=10**30), "invalid TTL"),
        ],
    )
    def test_an_answer_that_makes_no_sense_is_named(self, text, reason):
        with pytest.raises(BadPermissions, match=reason):
            parse_permissions(text, 0)

    def test_a_ttl_of_many_digits_is_no_crash(self):
        with pytest.raises(BadPermissions):
            parse_permissions(b'{"ttl": ' + b"9" * 10_000 + b"}", 0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
patterns = st.text("a.*+?()[]{}|^$\\0123456789,", max_size=12)
authorizations = st.fixed_dictionaries(
    {},
    optional={
        "topic": patterns | json_values,
        "channels": st.lists(patterns | json_values, max_size=3) | json_values,
        "permissions": st.lists(st.sampled_from(["publish", "subscribe"]) | json_values, max_size=3)
        | json_values,
    },
)
replies = st.fixed_dictionaries(
    {},
    optional={
        "ttl": st.integers(1, 100) | json_values,
        "authorizations": st.lists(authorizations | json_values, max_size=3) | json_values,
        "identity": st.text() | json_values,
    },
)


@pytest.mark.slow
@given(
    st.binary(max_size=60) | (replies | json_values).map(lambda value: json.dumps(value).encode())
)
def test_every_answer_is_either_permissions_or_a_bad_reply(text):
    try:
        permissions = parse_permissions(text, 0)
    except BadPermissions:
        return
    assert isinstance(permissions, Permissions)
    assert permissions.allow("t", "c", SUBSCRIBE) in (True, False)
    json.loads(permissions.reply())
