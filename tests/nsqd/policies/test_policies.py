"""What policies come to: merged key by key, by priority, with limits on top."""

import pytest

from nsqd.policies.errors import AmbiguousPolicy, InvalidPolicy, UnknownPolicy
from nsqd.policies.keys import KEYS, SUPPORTED
from nsqd.policies.policies import MAX_POLICIES, Policies
from nsqd.policies.policy import parse_policy

HOUR = 3600 * 10**9


def policy(name, pattern, definition, **more):
    raw = {"pattern": pattern, "definition": definition, **more}
    return parse_policy(name, raw, supported=KEYS)


def policies(*defined):
    found = Policies(supported=KEYS)
    for one in defined:
        found.set_own(found.with_policy(one))
    return found


class TestDefinition:
    @pytest.mark.parametrize(
        ("key", "given", "used"),
        [
            ("durability", "always", "always"),
            ("durability_interval", "100ms", 10**8),
            ("max_attempts", 5, 5),
            ("dead_letter_topic", "orders.dead", "orders.dead"),
            ("message_ttl", "24h", 24 * HOUR),
            ("retention_age", "7d", 7 * 24 * HOUR),
            ("retention_age", "2w", 14 * 24 * HOUR),
            ("max_depth", 10**6, 10**6),
            ("max_bytes", "64MiB", 2**26),
            ("max_bytes", "10 GB", 10**10),
            ("retention_bytes", 1024, 1024),
            ("overflow", "reject", "reject"),
            ("overflow", "drop_oldest", "drop_oldest"),
            ("dead_letter_topic", "discard", "discard"),
            ("dedupe_window", "2m", 2 * 60 * 10**9),
            ("dedupe_keys", 1000, 1000),
        ],
    )
    def test_a_value_is_kept_as_it_was_given_and_as_it_is_used(self, key, given, used):
        found = policy("p", "t", {key: given})
        assert (found.definition[key], found.values[key]) == (given, used)

    @pytest.mark.parametrize("key", sorted(KEYS))
    @pytest.mark.parametrize(
        "value", [None, True, -1, 0, 1.5, "", "x y", "-5 s", [], {}, 10**30, "9" * 99]
    )
    def test_a_value_that_makes_no_sense_is_refused_with_what_would(self, key, value):
        if (key, value) == ("mem_queue_size", 0) and value is not False:
            value = -1  # 0 makes sense: everything goes to disk
        with pytest.raises(InvalidPolicy, match=f"{key}: expected .*, not "):
            policy("p", "t", {key: value})

    @pytest.mark.parametrize(
        ("raw", "said"),
        [
            ([], "expected a JSON object"),
            ({"pattern": "t"}, "definition: expected an object"),
            ({"pattern": "t", "definition": {}}, "definition: expected an object"),
            ({"pattern": "t", "definition": {"max_depth": 1}, "prio": 1}, "did you mean priority"),
            ({"pattern": "t", "definition": {"max_dept": 1}}, "did you mean max_depth?"),
            ({"pattern": "t", "definition": {"zzz": 1}}, "unknown key 'zzz'; known are: dead_"),
            ({"pattern": "t", "definition": {"max_depth": 1}, "priority": "9"}, "priority"),
            ({"pattern": "t", "definition": {"max_depth": 1}, "kind": "lim"}, "policy or limit"),
            ({"pattern": "t" * 60, "definition": {"max_attempts": 1}}, "dead_letter_topic: expec"),
            ({"pattern": "t", "definition": {"dead_letter_topic": "t" * 65}}, "64 characters at"),
            ({"pattern": "t:c", "definition": {"durability": "os"}}, "durability is of topics"),
            (
                {"pattern": "t", "definition": {"durability": "os"}, "kind": "limit"},
                "durability: a limit can only cap",
            ),
        ],
    )
    def test_what_is_no_policy_is_refused_with_the_name_of_what_is_wrong(self, raw, said):
        with pytest.raises(InvalidPolicy) as caught:
            parse_policy("p", raw, supported=KEYS)
        assert said in str(caught.value)

    @pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a/b", "é", "a\n"])
    def test_a_policy_has_a_plain_name(self, name):
        with pytest.raises(InvalidPolicy, match="name: expected"):
            policy(name, "t", {"max_depth": 1})

    @pytest.mark.parametrize("key", sorted(set(KEYS) - SUPPORTED))
    def test_a_key_that_nobody_acts_on_is_refused_by_its_name(self, key):
        raw = {"pattern": "t", "definition": {key: 1}}
        with pytest.raises(InvalidPolicy, match=f"{key}: this nsqd does not have it"):
            parse_policy("p", raw)

    def test_what_is_listed_can_be_defined_again(self):
        one = policy("p", "a*:b", {"message_ttl": "1h"}, priority=3, kind="limit")
        raw = one.to_json()
        del raw["name"]
        assert parse_policy("p", raw, supported=KEYS) == one


class TestMerging:
    def test_the_higher_priority_wins_key_by_key(self):
        found = policies(
            policy("all", "*", {"max_depth": 10, "message_ttl": "1h"}),
            policy("orders", "orders*", {"max_depth": 99}, priority=5),
        ).effective("orders.eu")
        assert (found.get("max_depth"), found.get("message_ttl")) == (99, HOUR)
        assert found.get("max_bytes") is None
        assert found.get("max_bytes", 7) == 7
        assert found.values["max_depth"].to_json() == {
            "value": 99, "policy": "orders", "kind": "policy",
        }  # fmt: skip

    @pytest.mark.parametrize("priority", [-9, 0, 9])
    def test_a_limit_caps_whatever_its_priority(self, priority):
        limit = policy("cap", "*", {"message_ttl": "30m"}, kind="limit", priority=priority)
        found = policies(policy("all", "*", {"message_ttl": "1h"}, priority=1), limit)
        assert found.effective("t").get("message_ttl") == HOUR // 2
        assert found.effective("t").values["message_ttl"].policy.name == "cap"

    def test_a_limit_leaves_what_is_below_it_and_caps_what_nobody_set(self):
        found = policies(
            policy("all", "*", {"max_depth": 5}), policy("cap", "*", {"max_depth": 9}, kind="limit")
        )
        assert found.effective("t").get("max_depth") == 5
        found = policies(policy("cap", "*", {"max_depth": 9}, kind="limit"))
        assert found.effective("t").get("max_depth") == 9

    def test_of_two_limits_the_lesser_holds(self):
        found = policies(
            policy("a", "*", {"max_depth": 9}, kind="limit"),
            policy("b", "t", {"max_depth": 4}, kind="limit"),
        )
        assert found.effective("t").get("max_depth") == 4

    def test_keys_of_topics_are_not_of_channels_and_the_other_way_round(self):
        found = policies(policy("p", "t", {"durability": "os", "max_attempts": 5, "max_depth": 7}))
        assert sorted(found.effective("t").values) == ["durability", "max_depth"]
        assert sorted(found.effective("t", "c").values) == ["max_attempts", "max_depth"]

    def test_a_pattern_of_channels_wins_over_that_of_its_topic_by_priority_alone(self):
        found = policies(
            policy("topic", "t", {"max_attempts": 5}),
            policy("channel", "t:audit", {"max_attempts": 9}, priority=1),
        )
        assert found.effective("t", "audit").get("max_attempts") == 9
        assert found.effective("t", "other").get("max_attempts") == 5


class TestTies:
    def test_equal_priority_on_one_key_of_names_that_both_match_is_refused(self):
        found = policies(policy("a", "orders*", {"max_depth": 1}))
        with pytest.raises(AmbiguousPolicy, match=r"b \(\*\.eu\) and a \(orders\*\) .* max_depth"):
            found.with_policy(policy("b", "*.eu", {"max_depth": 2, "message_ttl": "1h"}))
        assert list(found.own) == ["a"]

    @pytest.mark.parametrize(
        "other",
        [
            policy("b", "*.eu", {"max_depth": 2}, priority=1),
            policy("b", "*.eu", {"message_ttl": "1h"}),
            policy("b", "payments*", {"max_depth": 2}),
            policy("b", "*.eu", {"max_depth": 2}, kind="limit"),
            policy("a", "orders*", {"max_depth": 2}),
        ],
    )
    def test_what_can_be_decided_is_no_tie(self, other):
        assert other.name in policies(policy("a", "orders*", {"max_depth": 1}), other).own

    def test_a_tie_inside_a_file_changes_nothing(self):
        found = Policies(supported=KEYS)
        found.set_file([policy("a", "t", {"max_depth": 1})])
        tie = [policy("b", "t", {"max_depth": 1}), policy("c", "*", {"max_depth": 1})]
        with pytest.raises(AmbiguousPolicy):
            found.set_file(tie)
        assert list(found.of_file) == ["a"]


class TestChanges:
    def test_whoever_listens_hears_of_each_change_and_asks_anew(self):
        found, heard = Policies(supported=KEYS), []
        found.on_change(lambda: heard.append(found.effective("t").get("max_depth")))
        found.set_own(found.with_policy(policy("a", "t", {"max_depth": 1})))
        found.set_own(found.with_policy(policy("a", "t", {"max_depth": 2})))
        found.set_own(found.without("a"))
        assert heard == [1, 2, None]

    def test_what_the_file_defines_is_changed_there_only(self):
        found = Policies(supported=KEYS)
        found.set_file([policy("a", "t", {"max_depth": 1})])
        with pytest.raises(InvalidPolicy, match="in the policy file"):
            found.with_policy(policy("a", "t", {"max_depth": 2}))
        with pytest.raises(InvalidPolicy, match="in the policy file"):
            found.without("a")
        with pytest.raises(UnknownPolicy):
            found.without("b")

    def test_there_is_a_bound_on_policies(self):
        found = Policies(supported=KEYS)
        own = {f"p{n}": policy(f"p{n}", f"t{n}", {"max_depth": 1}) for n in range(MAX_POLICIES)}
        found.set_own(own)
        with pytest.raises(InvalidPolicy, match=f"more than {MAX_POLICIES}"):
            found.with_policy(policy("one.more", "u", {"max_depth": 1}))
