"""The page of policies: what there is, what it comes to, where nsqds differ, who may change it."""

import re

import pytest
from tests.nsqadmin.conftest import BROWSER

from nsqadmin.pages.policies import form_of, policy_rows, value_rows
from nsqcore.cluster.each.policies import EffectiveValue, NodePolicies, NodeValues
from nsqd.policies.policy import parse_policy

FORM = {**BROWSER, "Content-Type": "application/x-www-form-urlencoded"}
KEPT = {
    "name": "keep",
    "pattern": "orders*",
    "kind": "policy",
    "priority": "5",
    "definition": "durability = always\nmax_depth = 1000",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No collector runs in these tests: nothing is to be waited for."""

    async def fresh(self, *, patience=0.0):
        """It is as fresh as it gets."""

    monkeypatch.setattr("nsqadmin.collect.collector.Collector.fresh", fresh)


async def token(s, path="/policies"):
    return re.search(r'name="token" value="([\w-]+)"', await s.page(path))[1]


async def send(s, verb, **fields):
    if "token" not in fields:
        fields["token"] = await token(s)
    return await s.client.post(f"/policies/{verb}", form=fields, headers=FORM)


def put(nsqd, name, **raw):
    policy = parse_policy(name, {"pattern": "*", **raw})
    nsqd.policies.set_own(nsqd.policies.with_policy(policy))


def text_of(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.mark.slow
async def test_a_policy_is_set_on_every_nsqd_and_listed(site, caplog):
    caplog.set_level("INFO")
    async with site() as s:
        assert "No nsqd has a policy" in await s.page("/policies")
        response = await send(s, "set", **KEPT)
        assert (response.status_code, response.headers["Location"]) == (303, "/policies")
        for nsqd in s.nsqds:
            (policy,) = nsqd.policies.all()
            assert policy.definition == {"durability": "always", "max_depth": 1000}
            assert (str(policy.pattern), policy.priority) == ("orders*", 5)
        shown = text_of(await s.page("/policies"))
        assert "keep orders* durability = always max_depth = 1000 policy 5 all" in shown
        assert "nodes differ" not in shown
        assert "user(-): set_policy keep from" in caplog.text


async def test_what_they_come_to_is_shown_with_where_it_comes_from(site):
    async with site() as s:
        for nsqd in s.nsqds:
            put(nsqd, "all", definition={"max_depth": 9, "durability": "os"})
            put(nsqd, "cap", kind="limit", definition={"max_depth": 7})
        page = await s.page("/policies?topic=orders")
        effective = text_of(page[page.index('id="effective"') :])
        assert "durability os all all" in effective
        assert "max_depth 7 cap limit all" in effective
        page = await s.page("/policies?topic=orders&channel=billing")
        assert "durability" not in text_of(
            page[page.index('id="effective"') :].partition("</table>")[0]
        )


async def test_where_nodes_differ_it_says_which(site):
    async with site() as s:
        put(s.nsqds[0], "keep", definition={"max_depth": 1})
        put(s.nsqds[1], "keep", definition={"max_depth": 2})
        put(s.nsqds[1], "alone", pattern="x", priority=1, definition={"max_depth": 3})
        page = await s.page("/policies?topic=orders")
        shown = text_of(page)
        assert "The nodes differ in alone, keep" in shown
        assert shown.count("1 of 2 nodes") == 3 + 2
        assert f'title="{s.nsqds[0].address}"' in page


async def test_what_every_nsqd_refuses_is_told_and_the_form_keeps_what_was_typed(site):
    async with site() as s:
        response = await send(s, "set", **(KEPT | {"definition": "durabilty = always"}))
        page = await response.get_data(as_text=True)
        assert response.status_code == 400
        assert "did you mean durability?" in page
        assert "durabilty = always</textarea>" in page
        assert 'value="orders*"' in page
        for definition, why in (
            ("max_depth", "is not KEY = VALUE"),
            ("a=1\na=2", "a is there twice"),
        ):
            response = await send(s, "set", **(KEPT | {"definition": definition}))
            assert why in await response.get_data(as_text=True)
        assert not any(nsqd.policies.all() for nsqd in s.nsqds)


async def test_what_some_nsqd_did_not_take_is_told(site):
    async with site() as s:
        s.nsqds[1].broken = True
        response = await send(s, "set", **KEPT)
        page = await response.get_data(as_text=True)
        assert response.status_code == 200
        assert "done, but not everywhere" in page
        assert s.nsqds[1].address in page
        assert s.nsqds[1].address in await s.page("/policies")  # it does not answer


async def test_a_policy_is_changed_from_what_it_is(site):
    async with site() as s:
        put(s.nsqds[1], "cap", kind="limit", priority=3, definition={"max_depth": 7})
        page = await s.page("/policies?edit=cap")
        assert "Change cap" in page
        assert "max_depth = 7</textarea>" in page
        assert re.search(r'value="limit" selected', page)


async def test_deleting_needs_the_name_to_be_typed_and_is_done_where_it_is(site, caplog):
    caplog.set_level("INFO")
    async with site() as s:
        put(s.nsqds[1], "keep", definition={"max_depth": 2})
        path = "/policies/delete?name=keep"
        fields = {"name": "keep", "token": await token(s, path)}
        response = await send(s, "delete", typed="kee", **fields)
        assert response.status_code == 400
        assert s.nsqds[1].policies.all()
        response = await send(s, "delete", typed="keep", **fields)
        assert (response.status_code, response.headers["Location"]) == (303, "/policies")
        assert not s.nsqds[1].policies.all()
        assert "user(-): delete_policy keep from" in caplog.text
        response = await send(s, "delete", typed="keep", **fields)
        assert "POLICY_NOT_FOUND" in await response.get_data(as_text=True)


@pytest.mark.parametrize("verb", ["set", "delete"])
async def test_a_form_without_the_token_of_its_browser_does_nothing(site, verb):
    async with site() as s:
        response = await send(s, verb, typed="keep", **(KEPT | {"token": "guessed"}))
        assert response.status_code == 403
        assert not s.nsqds[0].policies.all()


async def test_who_may_only_look_sees_policies_and_no_way_to_change_them(site):
    async with site(admin_users=("ada",)) as s:
        put(s.nsqds[0], "keep", definition={"max_depth": 2})
        page = await s.page("/policies")
        assert "keep" in page
        assert "/policies/set" not in page
        assert "/policies/delete" not in page
        response = await send(s, "set", **(KEPT | {"token": "guessed"}))
        assert response.status_code == 403
        response = await s.client.get("/policies/delete?name=keep", headers=BROWSER)
        assert response.status_code == 403


def test_rows_tell_each_form_once():
    one, other = {"pattern": "a", "definition": {"k": "v"}}, {"pattern": "b", "definition": {}}
    found = [
        NodePolicies("x", {"p": one}),
        NodePolicies("y", {"p": one}),
        NodePolicies("z", {"p": other}),
    ]
    first, second = policy_rows(found)
    assert (first.nodes, first.definition, first.differs) == (["x", "y"], [("k", "v")], True)
    assert (second.nodes, second.pattern) == (["z"], "b")
    assert form_of(found, "p").definition == "k = v"
    assert form_of(found, "q").name == ""


def test_values_tell_each_origin_once():
    value = EffectiveValue(5, "p", "policy")
    found = [NodeValues("x", {"k": value}), NodeValues("y", {"k": value}), NodeValues("z", {})]
    (row,) = value_rows(found)
    assert (row.value, row.policy, row.nodes, row.differs) == ("5", "p", ["x", "y"], True)
