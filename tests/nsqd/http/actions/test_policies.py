"""/policy/… over HTTP."""

import json

import pytest

ORDERS = {"pattern": "orders*", "priority": 3, "kind": "policy", "definition": {"max_depth": 7}}
EMPTY = (200, b"")


def body(**changes):
    return json.dumps(ORDERS | changes).encode()


async def test_a_policy_is_set_listed_in_force_and_deleted(make_nsqd):
    nsqd = make_nsqd()
    answer = await nsqd.put("/policy/set?name=orders", body())
    assert (answer.status, answer.body) == EMPTY
    listed = (await nsqd.get("/policy/list")).json
    assert listed == {"policies": [{"name": "orders", **ORDERS, "source": "http"}]}
    for query in ("topic=orders.eu", "topic=orders.eu&channel=c"):
        assert (await nsqd.get(f"/policy/effective?{query}")).json == {
            "values": {"max_depth": {"value": 7, "policy": "orders", "kind": "policy"}}
        }
    assert (await nsqd.get("/policy/effective?topic=other")).json == {"values": {}}
    answer = await nsqd.post("/policy/delete?name=orders")
    assert (answer.status, answer.body) == EMPTY
    assert (await nsqd.get("/policy/list")).json == {"policies": []}


async def test_a_policy_is_replaced_by_another_of_its_name(make_nsqd):
    nsqd = make_nsqd()
    for depth in (7, 9):
        await nsqd.put("/policy/set?name=orders", body(definition={"max_depth": depth}))
    effective = (await nsqd.get("/policy/effective?topic=orders")).json
    assert effective["values"]["max_depth"]["value"] == 9


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "not JSON"),
        (b"[]", "expected a JSON object"),
        (body(pattern="a b"), "pattern 'a b': expected"),
        (body(definition={"max_dept": 7}), "did you mean max_depth?"),
        (body(definition={"max_depth": -7}), "max_depth: expected a whole number"),
        (body(color="red"), "unknown field 'color'"),
    ],
)
async def test_what_is_no_policy_is_refused_with_what_would_be_right(make_nsqd, content, detail):
    nsqd = make_nsqd()
    answer = await nsqd.put("/policy/set?name=orders", content)
    assert answer.status == 400
    assert answer.json["message"] == "INVALID_POLICY"
    assert detail in answer.json["detail"]
    assert (await nsqd.get("/policy/list")).json == {"policies": []}


async def test_a_tie_is_refused(make_nsqd):
    nsqd = make_nsqd()
    await nsqd.put("/policy/set?name=orders", body())
    answer = await nsqd.put("/policy/set?name=all", body(pattern="*"))
    assert (answer.status, answer.json["message"]) == (409, "AMBIGUOUS_POLICY")
    assert "orders (orders*)" in answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "refusal"),
    [
        ("PUT", "/policy/set", (400, "MISSING_ARG_NAME")),
        ("POST", "/policy/delete", (400, "MISSING_ARG_NAME")),
        ("POST", "/policy/delete?name=nobody", (404, "POLICY_NOT_FOUND")),
        ("GET", "/policy/effective", (400, "MISSING_ARG_TOPIC")),
        ("GET", "/policy/effective?topic=a%20b", (400, "INVALID_ARG_TOPIC")),
        ("GET", "/policy/effective?topic=t&channel=a%20b", (400, "INVALID_ARG_CHANNEL")),
        ("POST", "/policy/set?name=orders", (405, "METHOD_NOT_ALLOWED")),
    ],
)
async def test_what_is_missing_or_not_there_is_told(make_nsqd, method, path, refusal):
    assert (await make_nsqd().ask(method, path, body())).refusal == refusal


async def test_a_disk_that_takes_nothing_is_an_error_and_no_policy(make_nsqd, caplog):
    nsqd = make_nsqd()
    nsqd.api.policies.directory = "/nowhere"
    answer = await nsqd.put("/policy/set?name=orders", body())
    assert answer.refusal == (500, "INTERNAL_ERROR")
    assert "failed to keep it" in caplog.text
    assert (await nsqd.get("/policy/list")).json == {"policies": []}


async def test_a_full_topic_answers_429_until_it_is_bounded_no_more(make_nsqd):
    nsqd = make_nsqd()
    await nsqd.put("/policy/set?name=orders", body(definition={"max_depth": 1}))
    assert (await nsqd.post("/pub?topic=orders", b"x")).status == 200
    assert (await nsqd.post("/pub?topic=orders", b"x")).refusal == (429, "TOPIC_FULL")
    assert (await nsqd.post("/mpub?topic=orders", b"x\ny")).refusal == (429, "TOPIC_FULL")
    assert (await nsqd.post("/pub?topic=orders&defer=5", b"x")).refusal == (429, "TOPIC_FULL")
    assert (await nsqd.post("/pub?topic=other", b"x")).status == 200
    await nsqd.post("/policy/delete?name=orders")
    assert (await nsqd.post("/pub?topic=orders", b"x")).status == 200
