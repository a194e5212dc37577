"""Which form of the hot loops is used."""

import zlib
from pathlib import Path
from types import ModuleType

from nsqcore.wire import hot as pure
from nsqcore.wire import speedups


def test_a_build_from_an_older_source_is_not_used_and_says_so():
    built = ModuleType("_hot")
    for stamp in (None, 1):
        built.SOURCE = stamp
        chosen, note = speedups.choose(built)
        assert chosen is pure
        assert "install again" in note


def test_a_build_from_this_source_is_used():
    built = ModuleType("_hot")
    built.SOURCE = zlib.crc32(Path(pure.__file__).read_bytes())
    assert speedups.choose(built) == (built, "")


def test_a_package_of_byte_code_alone_uses_its_build(monkeypatch):
    """Fault 144: it was told to install again."""
    monkeypatch.setattr(pure, "__file__", "/nowhere/hot.pyc")
    built = ModuleType("_hot")
    assert speedups.choose(built) == (built, "")
