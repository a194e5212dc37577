"""`nsqctl policy`: the policies of every nsqd, and where they differ."""

import json
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.fakes.fake_http import fake_server
from tests.nsqctl.program import Pair, nsqctl

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.upstream import Upstream
from nsqctl.__main__ import make_parser
from nsqctl.commands.policies import BadFile, run_policy_command

ORDERS = {"pattern": "orders*", "priority": 0, "kind": "policy", "definition": {"max_depth": 7}}


class Nsqd:
    """An nsqd that keeps policies, and can refuse them."""

    def __init__(self, **policies):
        self.policies, self.refuses, self.server = policies, False, None

    @property
    def address(self):
        return self.server.address

    def answer(self, asked):
        name = asked.query.get("name")
        if self.refuses and asked.method != "GET":
            return 400, {"message": "INVALID_POLICY", "detail": "did you mean max_depth?"}
        if asked.path == "/policy/list":
            listed = [{"name": n, **p, "source": "http"} for n, p in self.policies.items()]
            return 200, {"policies": listed}
        if asked.path == "/policy/set":
            self.policies[name] = json.loads(asked.body)
            return 200, None
        if asked.path == "/policy/delete":
            return (200, None) if self.policies.pop(name, None) else (404, {"message": "NONE"})
        return 200, {"topics": [], "http_port": int(self.address.rpartition(":")[2])}


@asynccontextmanager
async def cluster(*nsqds):
    async with AsyncExitStack() as servers:
        for nsqd in nsqds:
            nsqd.server = await servers.enter_async_context(fake_server(nsqd.answer))
        upstream = await servers.enter_async_context(Upstream())
        yield Cluster(upstream, nsqds=tuple(nsqd.address for nsqd in nsqds))


async def policy(found, *arguments):
    given = make_parser().parse_args(["policy", *arguments])
    return await run_policy_command(found, given)


async def test_a_policy_is_set_and_deleted_on_every_nsqd(capsys):
    one, other = Nsqd(), Nsqd()
    async with cluster(one, other) as found:
        assert await policy(found, "set", "orders", "orders*", "max_depth=7") == 0
        assert one.policies == other.policies == {"orders": ORDERS}
        limit = "set", "cap", "*:audit", "message_ttl=24h", "--limit", "--priority=3"
        assert await policy(found, *limit) == 0
        assert one.policies["cap"] == {
            "pattern": "*:audit", "priority": 3, "kind": "limit",
            "definition": {"message_ttl": "24h"},
        }  # fmt: skip
        assert await policy(found, "delete", "orders", "--yes") == 0
        assert list(one.policies) == list(other.policies) == ["cap"]
    assert "set policy orders: done" in capsys.readouterr().out


async def test_who_refuses_is_named_with_its_reason_and_the_others_have_it(capsys):
    one, other = Nsqd(), Nsqd()
    other.refuses = True
    async with cluster(one, other) as found:
        assert await policy(found, "set", "orders", "orders*", "max_depth=7") == 1
        assert one.policies == {"orders": ORDERS}
        out, err = capsys.readouterr()
        assert "done, but for the failures above" in out
        assert other.address in err
        assert "did you mean max_depth?" in err


async def test_the_list_shows_where_nsqds_differ(capsys):
    same = {"all": {**ORDERS, "pattern": "*"}}
    one, other = Nsqd(**same, orders=ORDERS), Nsqd(**same, orders={**ORDERS, "priority": 9})
    third = Nsqd(**same)
    async with cluster(one, other, third) as found:
        assert await policy(found, "list") == 0
        out, err = capsys.readouterr()
        rows = [line.split() for line in out.splitlines()[1:]]
        assert rows == [
            ["all", "*", "policy", "max_depth=7", "0", "3/3"],
            ["orders", "orders*", "policy", "max_depth=7", "0", "1/3"],
            ["orders", "orders*", "policy", "max_depth=7", "9", "1/3"],
        ]
        assert f"nsqds differ in the policy orders; {third.address} lack it" in err
        assert "policy all" not in err
        await policy(found, "list", "--json")
        listed = json.loads(capsys.readouterr().out)
        assert listed[third.address] == [{"name": "all", **same["all"]}]


async def test_what_is_exported_can_be_imported_elsewhere(capsys, tmp_path):
    one, empty = Nsqd(orders=ORDERS), Nsqd()
    file = tmp_path / "policies.json"
    async with cluster(one) as found:
        assert await policy(found, "export") == 0
    file.write_text(capsys.readouterr().out)
    async with cluster(empty) as found:
        assert await policy(found, "diff", str(file)) == 1
        assert f"{empty.address}: orders: only in the file" in capsys.readouterr().out
        assert await policy(found, "import", str(file)) == 0
        assert empty.policies == one.policies
        assert await policy(found, "diff", str(file)) == 0
        assert "no differences" in capsys.readouterr().out


async def test_a_cluster_that_differs_is_not_exported(capsys):
    async with cluster(Nsqd(orders=ORDERS), Nsqd()) as found:
        assert await policy(found, "export") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "nsqds differ in the policy orders" in err


async def test_a_difference_is_told_key_by_key(capsys, tmp_path):
    file = tmp_path / "policies.json"
    file.write_text(json.dumps({"policies": [{"name": "orders", **ORDERS, "priority": 5}]}))
    one = Nsqd(orders=ORDERS, other=ORDERS)
    async with cluster(one) as found:
        assert await policy(found, "diff", str(file)) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{one.address}: orders: priority is 0, in the file 5",
        f"{one.address}: other: only there",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ("[]", "expected {"),
        ('{"policies": [1]}', "name"),
    ],
)
async def test_a_file_that_is_none_is_named(tmp_path, content, said):
    file = tmp_path / "policies.json"
    if content is not None:
        file.write_text(content)
    one = Nsqd(orders=ORDERS)
    async with cluster(one) as found:
        for action in ("import", "diff"):
            with pytest.raises(BadFile, match=r"policies\.json: ") as caught:
                await policy(found, action, str(file))
            assert said in str(caught.value)
    assert one.policies == {"orders": ORDERS}


async def test_a_value_without_a_key_is_a_wrong_command_line(capsys):
    async with cluster(Nsqd()) as found:
        assert await policy(found, "set", "orders", "orders*", "max_depth") == 2
    assert "'max_depth' is not KEY=VALUE" in capsys.readouterr().err


@pytest.mark.slow
def test_real_nsqds_keep_to_a_policy_that_was_set_for_all(pair: Pair):
    nsqctl("policy", "set", "orders", "orders*", "max_depth=3", pair.option)
    for nsqd in pair.nsqds:
        effective = nsqd.get("/policy/effective?topic=orders&channel=kitchen")["values"]
        assert effective["max_depth"] == {"value": 3, "policy": "orders", "kind": "policy"}
    out, _ = nsqctl("policy", "set", "orders", "orders*", "max_dept=3", pair.option, status=1)
    assert "failures above" in out
    assert [
        row.split()[3] for row in nsqctl("policy", "list", pair.option)[0].splitlines()[1:]
    ] == ["max_depth=3"]
