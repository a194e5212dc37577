"""Policies on disk: kept over restarts, and read from the operator's file."""

import json
import os

import pytest

from nsqd.metadata.policy_store import FILE_NAME, BadPolicyFile, PolicyStore
from nsqd.policies.errors import AmbiguousPolicy, InvalidPolicy, UnknownPolicy
from nsqd.policies.keys import KEYS
from nsqd.policies.policies import Policies

ORDERS = {"pattern": "orders*", "priority": 3, "definition": {"max_depth": 7}}


def store(directory, file=""):
    return PolicyStore(Policies(supported=KEYS), str(directory), str(file))


def listed(*policies):
    return json.dumps({"policies": policies})


async def test_what_was_set_is_there_after_a_restart(tmp_path):
    first = store(tmp_path)
    first.load()
    await first.set("orders", ORDERS)
    await first.set("all", {"pattern": "*", "definition": {"message_ttl": "1h"}})
    await first.delete("all")
    again = store(tmp_path)
    again.load()
    assert again.policies.effective("orders.eu").get("max_depth") == 7
    assert (
        again.to_json()
        == first.to_json()
        == {"policies": [{"name": "orders", "kind": "policy", **ORDERS, "source": "http"}]}
    )
    assert os.listdir(tmp_path) == [FILE_NAME]


async def test_what_is_refused_changes_nothing_on_disk_and_in_force(tmp_path):
    found = store(tmp_path)
    await found.set("orders", ORDERS)
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(AmbiguousPolicy):
        await found.set("other", {**ORDERS, "pattern": "*"})
    with pytest.raises(InvalidPolicy):
        await found.set("orders", {})
    with pytest.raises(UnknownPolicy):
        await found.delete("nobody")
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert list(found.policies.own) == ["orders"]


async def test_a_disk_that_takes_nothing_leaves_the_policies_as_they_were(tmp_path):
    found = store(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        await found.set("orders", ORDERS)
    assert not found.policies.own


async def test_what_one_nsqd_lists_another_takes_as_its_file(tmp_path):
    first = store(tmp_path)
    await first.set("orders", ORDERS)
    file = tmp_path / "policies.json"
    file.write_text(json.dumps(first.to_json()))
    (tmp_path / "other").mkdir()
    other = store(tmp_path / "other", file)
    other.load()
    (one,) = other.to_json()["policies"]
    assert (one["name"], one["source"]) == ("orders", "file")


async def test_the_file_is_read_again(tmp_path, caplog):
    file = tmp_path / "policies.json"
    file.write_text(listed({"name": "orders", **ORDERS}))
    found = store(tmp_path, file)
    found.load()
    file.write_text(listed({"name": "orders", **ORDERS, "definition": {"max_depth": 9}}))
    found.reload()
    assert found.policies.effective("orders").get("max_depth") == 9


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "Expecting value"),
        ("[]", 'expected {"policies": [...]}'),
        ('{"policies": [5]}', "objects with a name"),
        (
            listed({"name": "orders", **ORDERS, "definition": {"max_dept": 1}}),
            "orders: unknown key",
        ),
        (listed({"name": "a", **ORDERS}, {"name": "b", **ORDERS}), "have priority 3"),
        (listed({"name": "a", **ORDERS}, {"name": "a", **ORDERS}), "defined twice"),
        (None, "No such file"),
    ],
)
async def test_a_file_that_is_wrong_is_named_and_changes_nothing(tmp_path, caplog, content, said):
    file = tmp_path / "policies.json"
    file.write_text(listed({"name": "orders", **ORDERS}))
    found = store(tmp_path, file)
    found.load()
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    found.reload()
    assert list(found.policies.of_file) == ["orders"]
    assert f"policies in {file}: " in caplog.text
    assert said in caplog.text
    with pytest.raises(BadPolicyFile, match="policies in"):
        store(tmp_path, file).load()


async def test_a_key_that_this_nsqd_does_not_have_keeps_it_from_starting(tmp_path):
    found = store(tmp_path)
    await found.set("orders", ORDERS)
    with pytest.raises(BadPolicyFile, match=f"{FILE_NAME}: orders: max_depth: this nsqd does not"):
        PolicyStore(Policies(supported=()), str(tmp_path)).load()
