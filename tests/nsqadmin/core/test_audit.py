"""The audit log: its schema, what is in it, and that it is rotated."""

import json

from tests.nsqadmin.auth.test_accounts import cheap_hash
from tests.nsqadmin.conftest import BROWSER, FORM, token_in

from nsqadmin.auth.accounts import Role
from nsqadmin.auth.principals import Principal
from nsqadmin.core.audit import audit, audit_file

# docs/security.md promises these, in this order.
KEYS = [
    "version", "time", "event", "outcome", "user", "role", "address", "topic", "channel", "node",
    "policy", "count", "detail",
]  # fmt: skip
ANN = Principal("ann", Role.ADMIN, "10.0.0.1:5")


def lines(path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_has_every_key_and_stays_one_line(tmp_path):
    path = tmp_path / "audit"
    with audit_file(str(path), lambda: 1_790_000_000_123_456_789):
        audit("delete_topic", "done", ANN, topic="a\nb", count=2)
    audit("delete_topic", "done", ANN)  # nobody listens any more
    (line,) = lines(path)
    assert list(line) == KEYS
    assert line["time"] == "2026-09-21T14:13:20.123456Z"
    assert (line["user"], line["role"], line["topic"], line["count"]) == ("ann", "admin", "a\nb", 2)


def test_a_rotated_file_is_opened_anew(tmp_path):
    path = tmp_path / "audit"
    with audit_file(str(path), lambda: 0) as opened:
        audit("one", "done", ANN)
        path.rename(tmp_path / "audit.1")
        audit("two", "done", ANN)
        opened.reopen()
        audit("three", "done", ANN)
    assert [line["event"] for line in lines(tmp_path / "audit.1")] == ["one", "two"]
    assert [line["event"] for line in lines(path)] == ["three"]


async def test_actions_logins_and_refusals_are_in_it(site, tmp_path):
    users, path = tmp_path / "users", tmp_path / "audit"
    users.write_text(f"ann:admin:{cheap_hash()}\nvic:viewer:{cheap_hash()}\n")
    with audit_file(str(path), lambda: 0):
        async with site(auth_file=str(users)) as s:

            async def log_in(user: str, password: str = "secret") -> None:
                page = await (await s.client.get("/login", headers=BROWSER)).get_data(as_text=True)
                fields = {"user": user, "password": password, "token": token_in(page)}
                await s.client.post("/login", form=fields, headers=FORM)

            await log_in("vic", "wrong")
            await log_in("vic")
            await s.client.get("/action/delete?topic=orders", headers=BROWSER)
            await s.client.post("/logout", headers=BROWSER)
            await log_in("ann")
            page = await s.page("/action/pause?topic=orders&channel=billing")
            fields = {"topic": "orders", "channel": "billing", "token": token_in(page)}
            await s.client.post("/action/pause", form=fields, headers=FORM)
    told = [(line["event"], line["outcome"], line["user"], line["topic"]) for line in lines(path)]
    assert told == [
        ("login", "failed", "vic", ""),
        ("login", "done", "vic", ""),
        ("delete_topic", "refused", "vic", "orders"),
        ("logout", "done", "vic", ""),
        ("login", "done", "ann", ""),
        ("pause_channel", "done", "ann", "orders"),
    ]
