"""The arrows between the packages point down: who may import whom (docs/architecture.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = [
    [
        "nsqcore.backoff",
        "nsqcore.errors",
        "nsqcore.names",
        "nsqcore.redaction",
        "nsqcore.tls",
        "nsqcore.units",
    ],
    ["nsqcore.addresses", "nsqcore.json", "nsqcore.patterns"],
    ["nsqcore.readers"],
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
    "nsqd.storage": ["nsqd.engine.queue"],
    "nsqd.client": ["nsqd.engine"],
}

# Inside nsqadmin: each line may import those above it.
NSQADMIN = [
    ["nsqadmin.options", "nsqadmin.errors", "nsqadmin.notify"],
    ["nsqadmin.collect", "nsqadmin.auth"],
    ["nsqadmin.drawing"],
    ["nsqadmin.admin"],
    ["nsqadmin.actions", "nsqadmin.pages"],
    ["nsqadmin.web"],
    ["nsqadmin.api"],
    ["nsqadmin.app"],
    ["nsqadmin.service"],
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


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = list(modules())
NAMES = [name for name, _ in MODULES]


@pytest.mark.parametrize(("name", "path"), MODULES, ids=NAMES)
def test_imports_only_point_down(name: str, path: Path) -> None:
    mine = place(name)
    for target in imports(path):
        theirs = place(target)
        if mine and theirs and theirs.package != mine.package:
            assert theirs.number < mine.number, f"{name} -> {target}"


@pytest.mark.parametrize(("name", "path"), MODULES, ids=NAMES)
def test_the_parts_without_io_import_none(name: str, path: Path) -> None:
    banned = {top for package, tops in FORBIDDEN.items() if inside(name, package) for top in tops}
    for target in imports(path):
        top = target.partition(".")[0]
        assert top not in banned - ALLOWED.get(name, set()), f"{name} -> {target}"


@pytest.mark.parametrize(("name", "path"), MODULES, ids=NAMES)
def test_inside_nsqd_the_engine_knows_nobody_and_the_sessions_only_the_engine(
    name: str, path: Path
) -> None:
    for package, others in NSQD.items():
        if not inside(name, package):
            continue
        for target in imports(path):
            if inside(target, "nsqd"):
                allowed = [package, *others]
                assert any(inside(target, other) for other in allowed), f"{name} -> {target}"


@pytest.mark.parametrize(("name", "path"), MODULES, ids=NAMES)
def test_the_engine_knows_no_frame_and_no_file_format(name: str, path: Path) -> None:
    if inside(name, "nsqd.engine"):
        known = {target.rpartition(".")[2] for target in imports(path)}
        assert not known & {"encode_messages", "encode_disk_records", "decode_disk_records"}
        assert not any(inside(target, "nsqcore.wire.frames") for target in imports(path))


def _nsqadmin_room(name: str) -> Place | None:
    for number, packages in enumerate(NSQADMIN):
        for package in packages:
            if inside(name, package):
                return Place(package, number)
    return None


@pytest.mark.parametrize(("name", "path"), MODULES, ids=NAMES)
def test_inside_nsqadmin_the_arrows_between_rooms_point_down(name: str, path: Path) -> None:
    mine = _nsqadmin_room(name)
    for target in imports(path):
        theirs = _nsqadmin_room(target)
        if mine and theirs and theirs.package != mine.package:
            assert theirs.number < mine.number, f"{name} -> {target}"


def test_every_module_has_its_floor() -> None:
    lost = [name for name in NAMES if place(name) is None and name != "nsqcore"]
    assert lost == []
