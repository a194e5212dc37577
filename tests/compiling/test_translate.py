"""What Cython is given for a module that also runs as it is."""

from pathlib import Path

import pytest
from compiling.translate import Untranslatable, translate

BASE = '''"""Boxes."""

from attrs import Factory, define, field, frozen


@define(eq=False)
class Box:
    """Holds things."""

    size: int
    label: str | None = None
    things: list[str] = Factory(list)
    count: int = Factory(lambda self: self.size, takes_self=True)
    _open: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._open = True

    def put(self, thing: str, times: int = 1) -> bool:
        added: int = times
        self.things += [thing] * added
        return True

    def call_later(self) -> object:
        return self.put_one

    def put_one(self) -> None:
        self.put("one")

    def biggest(self) -> int:
        return max(len(thing) for thing in self.things)


@define(eq=False)
class Crate(Box):
    weight: float = 0.0


@frozen
class Value:
    number: int


def make_box(size: int) -> Box:
    return Box(size)
'''

USER = '''"""Uses boxes."""

from boxes import Box, make_box


def fill(box: Box | None, *, with_what: str) -> None:
    made: Box = box or make_box(1)
    made.put(with_what)


def other() -> Box | None:
    made: Box = make_box(2)
    return made
'''


@pytest.fixture
def translated(tmp_path):
    def translate_modules(**sources: str) -> dict[str, tuple[str, str]]:
        files = {}
        for name, source in sources.items():
            files[name] = tmp_path / f"{name}.py"
            files[name].write_text(source)
        made = dict(translate(files, tmp_path / "out"))
        return {
            name: (place.read_text(), place.with_suffix(".pxd").read_text())
            for name, place in made.items()
        }

    return translate_modules


def test_attrs_classes_become_extension_types_with_the_types_of_their_annotations(translated):
    _, declared = translated(boxes=BASE)["boxes"]
    box = declared[declared.index("cdef class Box:") : declared.index("cdef class Crate(Box):")]
    for field in ("int64_t size", "str label", "list things", "int64_t count", "bint _open"):
        assert f"cdef public {field}" in box
    assert "cpdef bint put(self, str thing, int64_t times=*)" in box
    assert "@cython.locals(added=int64_t)" in box
    assert "cdef public double weight" in declared
    assert "cpdef Box make_box(int64_t size)" in declared


def test_what_c_cannot_do_stays_a_function_of_python(translated):
    _, declared = translated(boxes=BASE)["boxes"]
    assert "put_one" not in declared  # somebody asks for it as a value
    assert "biggest" not in declared  # its generator is a closure


def test_only_the_last_of_a_line_of_classes_is_final(translated):
    _, declared = translated(boxes=BASE)["boxes"]
    assert "@cython.final\ncdef class Crate(Box)" in declared
    assert "@cython.final\ncdef class Box" not in declared


def test_values_stay_what_they_are(translated):
    source, declared = translated(boxes=BASE)["boxes"]
    assert "@frozen\nclass Value" in source
    assert "Value" not in declared


def test_lines_keep_their_numbers(translated):
    source, _ = translated(boxes=BASE)["boxes"]
    before, after = BASE.split("\n"), source.split("\n")
    assert len(before) == len(after)
    for line in ("    def put(self", "class Crate", "def make_box"):
        (number,) = (at for at, text in enumerate(before) if text.startswith(line))
        assert after[number].startswith(line)


def test_constructors_do_what_those_of_attrs_do(translated):
    source, _ = translated(boxes=BASE)["boxes"]
    made: dict[str, type] = {}
    exec(compile(source, "boxes", "exec"), made)
    box, crate = made["Box"](3, "mine"), made["Crate"](4, things=["a"], weight=1.5)
    assert (box.size, box.label, box.things, box.count, box._open) == (3, "mine", [], 3, True)
    assert (crate.size, crate.things, crate.count, crate.weight) == (4, ["a"], 4, 1.5)


def test_types_and_functions_of_other_modules_are_known(translated):
    _, declared = translated(boxes=BASE, user=USER)["user"]
    assert "from boxes cimport Box" in declared
    assert "from boxes cimport make_box" in declared
    assert "@cython.locals(made=Box)\ncpdef Box other()" in declared
    assert "fill" not in declared  # its keyword


def test_what_is_not_done_here_is_said(translated):
    source = BASE.replace("field(default=False,", "field(default=False, converter=bool,")
    with pytest.raises(Untranslatable, match=r"boxes\.py:14: converter="):
        translated(boxes=source)


@pytest.mark.slow
def test_every_module_that_is_compiled_can_be(tmp_path):
    from compiling.extensions import MODULES, source_of

    root = Path(__file__).parents[2]
    made = dict(translate({name: root / source_of(name) for name in MODULES}, tmp_path))
    assert set(made) == set(MODULES)
