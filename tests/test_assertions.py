"""Every test can fail: it asserts something, expects an error, waits for a condition, or has one of
the suite's helpers do so."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent

Function = ast.FunctionDef | ast.AsyncFunctionDef

# What fails a test without an assertion: these say what is to happen, or by when.
CHECKS = frozenset({"fail", "fail_after", "raises", "validate", "warns"})


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def called(function: Function) -> set[str]:
    """The names of what it calls, or hands to a nursery or thread."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                names.add(node.func.attr)
            names |= {each.id for each in (node.func, *node.args) if isinstance(each, ast.Name)}
    return names


def asserts(function: Function) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(function)) or bool(
        called(function) & CHECKS
    )


def without_a_check(folder: Path) -> list[str]:
    trees = {path: ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py"))}
    every = [function for tree in trees.values() for function in functions(tree)]
    helpers = [function for function in every if not function.name.startswith("test_")]
    known: set[str] = set()
    while True:
        more = {each.name for each in helpers if asserts(each) or called(each) & known} - known
        if not more:
            break
        known |= more
    return [
        f"{path.relative_to(folder)}: {function.name}"
        for path, tree in trees.items()
        for function in functions(tree)
        if function.name.startswith("test_")
        and not asserts(function)
        and not called(function) & known
    ]


def test_every_test_checks_something():
    assert without_a_check(TESTS) == []


def test_a_test_without_a_check_is_found(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "def helper(x):\n    assert x\n\n"
        "def test_good():\n    helper(1)\n\n"
        "def test_bad():\n    print(1)\n"
    )
    assert without_a_check(tmp_path) == ["test_it.py: test_bad"]
