"""docs/protocol.md and the code agree, both ways: commands, errors, states and endpoints."""

import ast
import json
import re
from typing import get_args

import pytest
from tests.support.protocol_page import PAGE, ROOT, column, examples, names, section, table

from nsqcore.wire import errors, lookup
from nsqcore.wire.commands import CreateTopic, ParseError
from nsqcore.wire.errors import ProtocolError
from nsqcore.wire.headers import HEADED_MESSAGE
from nsqcore.wire.identify import EXTENSIONS, IdentifyRequest, Identity, Limits, reply
from nsqcore.wire.lookup import MAGIC_V1, LookupCommand, LookupParser
from nsqcore.wire.parser import CommandParser
from nsqd.client.client import State
from nsqd.client.dispatch import HANDLERS
from nsqd.client.refusals import STATES
from nsqlookupd.context import Lookupd
from nsqlookupd.http import build_router
from nsqlookupd.registry import Registry

V2 = section("nsqd over TCP: V2")
EXTRA = section("Extensions")
REQUEST, _, ANSWER = V2.partition("The answer with `feature_negotiation`:")
V1 = section("nsqlookupd over TCP: V1")
EXAMPLES = examples(V2) | examples(EXTRA)
V1_EXAMPLES = examples(V1)


def parse(data: bytes, *, headers: bool = True) -> list[object]:
    parser = CommandParser(1 << 20, 5 << 20, 3_600_000)
    parser.headers = headers
    return [*parser.feed(data), *parser.finish()]


def known_commands() -> set[str]:
    """The names that the parser compares the first word of a line with."""
    found = set()
    for path, function in (("parser.py", "_read"), ("lines.py", "line_command")):
        tree = ast.parse((ROOT / "src/nsqcore/wire" / path).read_text())
        (body,) = (
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name == function
        )
        for case in ast.walk(body):
            if isinstance(case, ast.MatchValue) and isinstance(case.value, ast.Constant):
                found.add(case.value.value.decode())
    return found


def test_every_command_is_in_the_table_and_has_a_section_with_an_example():
    assert set(column(V2, "command")) == known_commands()
    assert set(EXAMPLES) == known_commands()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_command_is_that_command_and_no_more(name):
    data = EXAMPLES[name]
    assert data.startswith(name.encode())
    (command,) = parse(data)
    assert type(command) in HANDLERS
    assert not isinstance(command, ParseError)


def test_the_examples_reach_all_that_nsqd_acts_on():
    reached = {type(command) for data in EXAMPLES.values() for command in parse(data)}
    assert reached == set(HANDLERS) - {ParseError, CreateTopic}


def test_the_commands_of_headers_are_unknown_without_them():
    for name in ("XPUB", "XMPUB"):
        (refused,) = parse(EXAMPLES[name], headers=False)
        assert isinstance(refused, ParseError)
        assert refused.error.to_wire() == f"E_INVALID invalid command {name}".encode()


def test_states_are_those_of_the_table():
    columns = (State.INIT, State.SUBSCRIBED, State.CLOSING)
    told = {
        names(row[0])[0]: tuple(
            s for s, said in zip(columns, row[2:], strict=True) if said == "yes"
        )
        for row in table(V2, "command")
    }
    assert told == {name: STATES.get(name.encode(), columns) for name in known_commands()}


def test_error_codes_of_nsqd_and_whether_they_end_the_connection():
    told = {names(row[0])[0]: row[1] == "ends" for row in table(V2, "code")}
    classes = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, ProtocolError) and each is not ProtocolError
    ]
    assert told == {each.code: each.fatal for each in classes}


def test_keys_of_identify():
    told = {names(row[0])[0]: row[1] for row in table(REQUEST, "key")}
    kinds = {"text": str, "boolean": bool}
    assert {key: kinds.get(kind, int) for key, kind in told.items()} == dict(
        IdentifyRequest.__annotations__
    )


def test_keys_of_the_answer_to_identify():
    identity = Identity(client_id="", hostname="")
    assert column(ANSWER, "key") == list(json.loads(reply(identity, Limits())))


def test_each_extension_has_a_section():
    assert tuple(re.findall(r"^### (\w+)$", EXTRA, re.MULTILINE)) == EXTENSIONS
    assert [int(row[0]) for row in table(V2, "type")] == list(range(HEADED_MESSAGE + 1))


# ------------------------------------------------------------------ nsqlookupd


def parse_v1(*commands: bytes) -> list[LookupCommand]:
    return LookupParser().feed(MAGIC_V1 + b"".join(commands))


def test_every_command_of_nsqlookupd_has_an_example():
    assert set(column(V1, "command")) == set(V1_EXAMPLES)
    commands = parse_v1(*V1_EXAMPLES.values())
    assert [type(command) for command in commands] == [
        each for each in get_args(LookupCommand) if each is not ParseError
    ]


@pytest.mark.parametrize("row", table(V1, "command"), ids=lambda row: row[0])
def test_what_may_come_before_identify_is_what_the_table_says(row):
    (command,) = parse_v1(V1_EXAMPLES[names(row[0])[0]])
    assert isinstance(command, ParseError) == (row[2] == "no")


def test_error_codes_of_nsqlookupd():
    raised = {
        each.code
        for each in vars(lookup).values()
        if isinstance(each, type)
        and issubclass(each, ProtocolError)
        and each.__module__ == errors.__name__
        and each is not ProtocolError
    }
    assert set(column(V1, "code of V1")) == raised


# ------------------------------------------------------------------ HTTP


def test_endpoints_of_nsqlookupd():
    registry = Registry(inactive_after=1, tombstone_lifetime=1)
    router = build_router(Lookupd(registry, lambda: 0, lambda: 0))
    routes = {f"{method} {path}" for method, path, _ in router.routes()}
    assert set(column(section("nsqlookupd"), "endpoint")) == routes


def messages_in(tree: ast.Module) -> set[tuple[str, int]]:
    """What a module's answers have as ``message``, with the status."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = set()
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, (ast.Name, ast.Attribute)):
            continue
        name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
        told: list[tuple[ast.expr, object]] = [
            (keyword.value, 413) for keyword in call.keywords if keyword.arg == "too_big"
        ]
        if name in ("HttpError", "Refusal") and isinstance(call.args[0], ast.Constant):
            told.append((call.args[1], call.args[0].value))
        if name == "json" and len(call.args) == 2 and isinstance(call.args[0], ast.Dict):
            status = call.args[1]
            told += [
                (value, status.value)
                for key, value in zip(call.args[0].keys, call.args[0].values, strict=True)
                if isinstance(key, ast.Constant) and key.value == "message"
                if isinstance(status, ast.Constant)
            ]
        for text, code in told:
            if isinstance(text, ast.Name):
                text = constants.get(text.id, text)
            if isinstance(text, ast.Constant):
                found.add((text.value, code))
            elif isinstance(text, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else None for p in text.values)
                found.add(("".join(p or "<PARAMETER>" for p in parts), code))
    return found


@pytest.mark.slow
def test_errors_over_http_with_their_status():
    told = {
        (name, int(status))
        for row in table(section("Errors over HTTP"), "message")
        for name in names(row[0])
        for status in row[1].split(",")
    }
    sources = [
        path
        for directory in ("services/nsqd/http", "services/nsqlookupd", "src/nsqcore/access")
        for path in (ROOT / directory).rglob("*.py")
    ]
    for directory in ("src/nsqcore/http", "src/nsqcore/operations"):
        sources += (ROOT / directory).rglob("*.py")
    given = set().union(*(messages_in(ast.parse(path.read_text())) for path in sources))
    given.add(("BODY_TOO_BIG", 413))  # the default of a route
    assert told == given


def test_pages_link_to_it():
    assert "protocol.md" in (ROOT / "mkdocs.yml").read_text()
    assert "docs/protocol.md" in (ROOT / "README.md").read_text()
    assert PAGE.startswith("# The protocol")
