"""The functions that docs/architecture.md names on its roads are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A class, a function or a field, at the top level of a module or of a class.
DEFINITION = re.compile(r"^(    )?(?:(?:(class)|(?:async )?def) (\w+)|(\w+):)", re.MULTILINE)


def defined() -> set[str]:
    """Every module, function, ``module.function``, class and ``Class.function`` of the sources."""
    found = set()
    for folder in ("src", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            owner = ""
            found.add(path.stem)
            for indented, is_class, named, field in DEFINITION.findall(path.read_text()):
                name = named or field
                if not indented:
                    owner = name if is_class else ""
                    found |= {name, f"{path.stem}.{name}"}
                elif owner:
                    found.add(f"{owner}.{name}")
    return found


def test_every_function_on_a_road_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text()
    names = re.findall(r"`([\w.]+)`", text.partition("\n## Roads\n")[2])
    assert len(names) > 60
    there = defined()
    wanted = {".".join(name.split(".")[-2:]) for name in names} - {"enter"}  # one of `nsqadmin.app`
    assert sorted(wanted - there) == []
