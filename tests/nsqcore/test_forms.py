"""Which form of a module is imported."""

import sys
import zlib
from importlib.machinery import SourceFileLoader

import pytest

from nsqcore import forms
from nsqcore.forms import SourceFinder, choose_form, is_stale, source_files


@pytest.fixture
def module(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("x = 1\n")
    return file


def test_what_was_made_of_this_source_is_used(module):
    assert not is_stale({"module": module}, {"module": zlib.crc32(b"x = 1\n")})


def test_what_was_made_of_an_older_source_is_not(module):
    sources = {"module": zlib.crc32(b"x = 1\n")}
    module.write_text("x = 2\n")
    assert is_stale({"module": module}, sources)


def test_the_compilers_own_source_counts_where_there_is_one(module):
    module.with_suffix(".pyx").write_text("cdef int x = 1\n")
    assert is_stale({"module": module}, {"module": zlib.crc32(b"x = 1\n")})
    assert not is_stale({"module": module}, {"module": zlib.crc32(b"cdef int x = 1\n")})


def test_where_only_byte_code_is_installed_there_is_nothing_to_compare(tmp_path):
    assert not is_stale({"module": tmp_path / "module.py"}, {"module": 1})


def test_sources_are_found_by_name(module):
    finder = SourceFinder({"package.module": module})
    spec = finder.find_spec("package.module", None)
    assert isinstance(spec.loader, SourceFileLoader)
    assert finder.find_spec("package.other", None) is None


def test_one_stale_module_of_any_package_has_all_taken_from_their_sources(tmp_path, monkeypatch):
    wire = source_files(["nsqcore.wire.hot"])["nsqcore.wire.hot"]
    known = tmp_path / "compiled.txt"
    known.write_text(f"nsqcore.wire.hot {zlib.crc32(wire.read_bytes())}\nnsqd.engine.broker 1\n")
    monkeypatch.setattr(forms, "LIST", known)
    monkeypatch.setattr(forms, "note", "")
    monkeypatch.setattr(forms, "compiled", set())
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delenv("NSQ_PURE", raising=False)
    choose_form()
    assert not forms.compiled
    assert forms.note
    finder = sys.meta_path[0]
    assert finder.find_spec("nsqcore.wire.hot", None) is not None
    assert finder.find_spec("nsqd.engine.broker", None) is not None


def test_a_package_that_is_not_installed_has_no_sources():
    assert source_files(["nsqnothing.engine.broker"]) == {}
