"""Every test can fail: it asserts something, expects an error, waits for a condition, or has one of
the suite's helpers do so."""

import ast
from collections.abc import Iterator, Set
from pathlib import Path

import attrs
import pytest

TESTS = Path(__file__).parent

# What fails a test without an assertion: these say what is to happen, or by when.
CHECKS = frozenset({"fail", "fail_after", "raises", "validate", "warns"})


@attrs.frozen
class Function:
    """What a function does by itself, and in the functions inside of it."""

    file: str
    name: str
    asserts: bool
    #: The names of what it calls, or hands to a nursery or thread.
    called: frozenset[str]

    def checks(self, known: Set[str]) -> bool:
        """Whether it can fail, given the names of helpers that can."""
        return self.asserts or not self.called.isdisjoint(CHECKS | known)


def functions_of(path: Path, file: str) -> Iterator[Function]:
    """Each function of a module. Every node is looked at once, whatever it is inside of."""
    found: list[tuple[str, list[ast.AST]]] = []

    def look(node: ast.AST, around: list[list[ast.AST]]) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((node.name, []))
            around = [*around, found[-1][1]]
        elif isinstance(node, ast.Call | ast.Assert):
            for inside in around:
                inside.append(node)
        for child in ast.iter_child_nodes(node):
            look(child, around)

    look(ast.parse(path.read_text()), [])
    for name, nodes in found:
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        called = {call.func.attr for call in calls if isinstance(call.func, ast.Attribute)}
        for call in calls:
            called |= {each.id for each in (call.func, *call.args) if isinstance(each, ast.Name)}
        yield Function(file, name, len(calls) < len(nodes), frozenset(called))


def without_a_check(folder: Path) -> list[str]:
    every = [
        function
        for path in sorted(folder.rglob("*.py"))
        for function in functions_of(path, str(path.relative_to(folder)))
    ]
    helpers = [each for each in every if not each.name.startswith("test_")]
    known: set[str] = set()
    while more := {each.name for each in helpers if each.checks(known)} - known:
        known |= more
    tests = [each for each in every if each.name.startswith("test_")]
    return [f"{each.file}: {each.name}" for each in tests if not each.checks(known)]


@pytest.mark.slow
def test_every_test_checks_something():
    assert without_a_check(TESTS) == []


def test_a_test_without_a_check_is_found(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "def helper(x):\n    assert x\n\n"
        "def test_good():\n    helper(1)\n\n"
        "def test_bad():\n    print(1)\n"
    )
    assert without_a_check(tmp_path) == ["test_it.py: test_bad"]
