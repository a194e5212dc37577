"""The arrows between the packages point down: who may import whom (docs/architecture.md)."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = [
    ["nsqcore.classes"],
    [
        "nsqcore.backoff",
        "nsqcore.errors",
        "nsqcore.globs",
        "nsqcore.forms",
        "nsqcore.late",
        "nsqcore.names",
        "nsqcore.redaction",
        "nsqcore.tls",
        "nsqcore.units",
    ],
    ["nsqcore.addresses", "nsqcore.json", "nsqcore.patterns"],
    ["nsqcore.access", "nsqcore.readers"],
    ["nsqcore.wire", "nsqcore.app", "nsqcore.metrics"],
    ["nsqcore.net"],
    ["nsqcore.reactor"],
    ["nsqcore.http"],
    ["nsqcore.http.pools"],
    ["nsqcore.http.client"],  # of other servers; the rest of the package is a server
    ["nsqcore.operations"],
    ["nsqcore.cluster"],
    ["nsqclient"],
    ["nsqd", "nsqlookupd", "nsqadmin", "nsqtools", "nsqctl"],
]

# Inside nsqd: what these parts may import of it, beside their own.
NSQD = {
    "nsqd.policies": [],
    "nsqd.engine": ["nsqd.policies"],
    "nsqd.storage": ["nsqd.engine.messages.queue"],
    "nsqd.client": ["nsqd.engine"],
}

# Inside nsqadmin: each line may import those above it.
NSQADMIN = [
    ["nsqadmin.config", "nsqadmin.language"],
    ["nsqadmin.collect", "nsqadmin.auth"],
    ["nsqadmin.drawing"],
    ["nsqadmin.core"],
    ["nsqadmin.actions", "nsqadmin.pages"],
    ["nsqadmin.web"],
    ["nsqadmin.api"],
    ["nsqadmin.app"],
    ["nsqadmin.service"],
    ["nsqadmin.program"],
    ["nsqadmin.__main__"],
]

IO = {"trio", "anyio", "asyncio", "socket", "ssl", "select", "selectors", "subprocess"}
FILES = {"os", "io", "pathlib", "shutil", "tempfile"}
FORBIDDEN = {
    "nsqcore.wire": IO | {"time", "logging"},
    "nsqcore.metrics": IO | {"time", "logging"},
    "nsqcore.net": IO - {"ssl"} | {"time", "logging"},
    "nsqd.engine": IO | FILES | {"time", "random", "threading", "json", "logging", "httptools"},
    "nsqd.storage": IO | {"random", "logging"},
    "nsqd.policies": IO | {"time", "logging", "os"},
    "nsqd.client": {"trio", "anyio", "asyncio", "socket", "select", "time"},
    "nsqlookupd.registry": IO | {"time"},
    "nsqlookupd.dispatch": IO | {"time"},
}
ALLOWED: dict[str, set[str]] = {}

# What `nsqcore.late.load` imports.
LATE = re.compile(r"nsq\w+(\.\w+)+:\w+")

# Lines of a module, and of a function without its docstring.
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60

# Python files of one folder, beside its __init__.py: more, and it is two rooms.
MANY = 12


class Place(NamedTuple):
    """Where a module belongs."""

    package: str
    number: int


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def place(name: str) -> Place | None:
    for number, packages in reversed(list(enumerate(FLOORS))):
        for package in packages:
            if inside(name, package):
                return Place(package, number)
    return None


def modules() -> Iterator[tuple[str, Path]]:
    for top in ("src", "services"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT / top).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), path


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(tree_of(path)))


@cache
def imports(path: Path) -> tuple[str, ...]:
    found: list[str] = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and LATE.fullmatch(str(node.value)):
            found.append(str(node.value).replace(":", "."))  # for `nsqcore.late.load`
    return tuple(found)


MODULES = list(modules())
NAMES = [name for name, _ in MODULES]


@cache
def arrows() -> list[tuple[str, str]]:
    """Which module imports what."""
    return [(name, target) for name, path in MODULES for target in imports(path)]


def points_up(mine: Place | None, theirs: Place | None) -> bool:
    """Whether an arrow from ``mine`` to ``theirs`` leads to the same floor or a higher one."""
    if mine is None or theirs is None or mine.package == theirs.package:
        return False
    return theirs.number >= mine.number


def test_imports_only_point_down() -> None:
    assert [arrow for arrow in arrows() if points_up(*map(place, arrow))] == []


def test_the_parts_without_io_import_none() -> None:
    def banned(name: str) -> set[str]:
        every = (tops for package, tops in FORBIDDEN.items() if inside(name, package))
        return set().union(*every) - ALLOWED.get(name, set())

    assert [arrow for arrow in arrows() if arrow[1].partition(".")[0] in banned(arrow[0])] == []


def test_inside_nsqd_the_engine_knows_nobody_and_the_sessions_only_the_engine() -> None:
    wrong = [
        (name, target)
        for name, target in arrows()
        for package, others in NSQD.items()
        if inside(name, package)
        and inside(target, "nsqd")
        and not any(inside(target, other) for other in [package, *others])
    ]
    assert wrong == []


def test_the_engine_knows_no_frame_and_no_file_format() -> None:
    formats = {"encode_messages", "encode_disk_records", "decode_disk_records"}
    wrong = [
        (name, target)
        for name, target in arrows()
        if inside(name, "nsqd.engine")
        and (target.rpartition(".")[2] in formats or inside(target, "nsqcore.wire.frames"))
    ]
    assert wrong == []


def _nsqadmin_room(name: str) -> Place | None:
    for number, packages in enumerate(NSQADMIN):
        for package in packages:
            if inside(name, package):
                return Place(package, number)
    return None


def test_inside_nsqadmin_the_arrows_between_rooms_point_down() -> None:
    assert [arrow for arrow in arrows() if points_up(*map(_nsqadmin_room, arrow))] == []


def test_every_module_has_its_floor() -> None:
    lost = [name for name in NAMES if place(name) is None and name != "nsqcore"]
    assert lost == []


def _imported_modules(path: Path) -> set[str]:
    """Names of our own modules, in functions too; what is imported from one stands for it."""
    targets = set(imports(path))
    return (targets | {target.rpartition(".")[0] for target in targets}) & set(NAMES)


def _find_cycle(arrows: Mapping[object, set[object]]) -> list[object]:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as cycle:
        return list(cycle.args[1])
    return []


def test_no_module_imports_one_that_imports_it() -> None:
    found: dict[object, set[object]] = {
        name: {
            other
            for other in _imported_modules(path)
            if not inside(name, other)  # the __init__ of a package it is in is no arrow
        }
        for name, path in MODULES
    }
    assert _find_cycle(found) == []


def test_no_folder_imports_one_that_imports_it() -> None:
    files = {name: path for name, path in MODULES if path.name != "__init__.py"}
    found: dict[object, set[object]] = defaultdict(set)
    for path in files.values():
        targets = {files[name].parent for name in _imported_modules(path) if name in files}
        found[path.parent] |= targets - {path.parent}
    assert _find_cycle(found) == []


def test_folders_are_small() -> None:
    folders = [*(path for _, path in MODULES), *(ROOT / "docs" / "examples").rglob("*.py")]
    sizes = Counter(path.parent for path in folders if path.name != "__init__.py")
    assert {str(folder): size for folder, size in sizes.items() if size > MANY} == {}


def test_modules_and_functions_are_short() -> None:
    def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        body = function.body[1:] if ast.get_docstring(function) else function.body
        return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0

    files = {path: len(path.read_text().splitlines()) for _, path in MODULES}
    assert {str(path): size for path, size in files.items() if size > LONGEST_MODULE} == {}
    functions = {
        f"{path}:{node.lineno}": lines(node)
        for path in files
        for node in nodes_of(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {place: size for place, size in functions.items() if size > LONGEST_FUNCTION} == {}


def _says_why(lines: Sequence[str], number: int) -> bool:
    """Whether the import at line ``number`` has a comment, or the line above it or its block."""
    while lines[number - 1].lstrip().startswith(("from ", "import ")):
        if "#" in lines[number - 1]:
            return True
        number -= 1
    return lines[number - 1].lstrip().startswith("#")


@pytest.mark.slow
def test_an_import_in_a_function_says_why_it_is_there() -> None:
    unexplained = [
        f"{path}:{node.lineno}"
        for _, path in MODULES
        for function in nodes_of(path)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and not _says_why(path.read_text().splitlines(), node.lineno)
    ]
    assert unexplained == [], "import at the top, or say in a comment why not"


@pytest.mark.slow
def test_what_is_imported_late_exists() -> None:
    paths = dict(MODULES)
    late = {
        str(node.value)
        for path in paths.values()
        for node in nodes_of(path)
        if isinstance(node, ast.Constant) and LATE.fullmatch(str(node.value))
    }
    assert late
    for place_of in late:
        module, _, name = place_of.partition(":")
        functions = [
            node.name
            for node in tree_of(paths[module]).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        assert name in functions, place_of


def test_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([\w/]+\.(?:py|html))`", text))
    there = [
        path.as_posix()
        for top in ("src", "services", "tests", "web", "compiling")
        for path in (ROOT / top).rglob("*.*")
    ]
    assert named
    assert {name for name in named if not any(path.endswith("/" + name) for path in there)} == set()


def _names_in(body: list[ast.stmt]) -> set[str]:
    """What a class or module defines: functions, classes, fields, constants, base classes."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_functions_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    known: dict[str, set[str]] = defaultdict(set)
    for name, path in MODULES:
        known[name.rpartition(".")[2]] |= _names_in(tree_of(path).body) | {
            other.rpartition(".")[2] for other in NAMES if other.rpartition(".")[0] == name
        }
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                known[node.name] |= _names_in(node.body)
    named = {
        (owner, name)
        for owner, name in re.findall(r"`(\w+)\.(\w+)(?:\(|`)", text)
        if name not in ("py", "html", "pyx", "dat")
    }
    variables = {("router", "add"), ("slot", "release")}
    assert len(named) > 50
    assert {one for one in named if one[1] not in known[one[0]]} - variables == set()
