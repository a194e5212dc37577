"""Names of files."""

import os
import platform
import time

import pytest

from nsqtools.nsq_to_file import file_names

DEFAULT = "<TOPIC>.<HOST><REV>.<DATETIME>.log"
HOST = platform.node().partition(".")[0]
NOW = time.strptime("2026-11-03 07:05:09", "%Y-%m-%d %H:%M:%S")


def test_a_file_that_is_not_numbered_has_no_revision():
    name = file_names.template(DEFAULT, "orders", gzip=False, with_rev=False)
    assert name == f"orders.{HOST}.<DATETIME>.log"


def test_all_placeholders_are_replaced():
    name = file_names.template(
        "<TOPIC>/<TOPIC>-<HOST>-<PID><REV>",
        "orders",
        host_identifier="me-<SHORT_HOST>-<HOSTNAME>",
        gzip=False,
        with_rev=True,
    )
    host = f"me-{HOST}-{platform.node()}"
    assert file_names.revision(name, 7) == f"orders/orders-{host}-{os.getpid()}-000007"


def test_compressed_files_end_in_gz_once():
    assert file_names.template("<TOPIC><REV>.log", "t", gzip=True, with_rev=True).endswith(
        ".log.gz"
    )
    assert file_names.template("<TOPIC><REV>.gz", "t", gzip=True, with_rev=True) == "t<REV>.gz"


def test_numbered_files_need_a_place_for_the_number():
    with pytest.raises(ValueError, match="missing <REV>"):
        file_names.template("<TOPIC>.log", "t", gzip=False, with_rev=True)


@pytest.mark.parametrize("topic", [".", ".."])
def test_a_topic_never_becomes_a_step_in_a_path(topic):
    with pytest.raises(ValueError, match="no file name"):
        file_names.template("<TOPIC>/x", topic, gzip=False, with_rev=False)


@pytest.mark.parametrize(
    ("datetime_format", "expected"),
    [
        ("%Y-%m-%d_%H", "2026-11-03_07"),
        ("%y%m%d%H%M%S", "261103070509"),
        ("%a %A %b %B", "Tue Tuesday Nov November"),
        ("%I%p %%", "07AM %"),
        ("plain 2006", "plain 2006"),
    ],
)
def test_the_time_is_filled_in(datetime_format, expected):
    assert file_names.at("<DATETIME>.<DATETIME>", datetime_format, NOW) == f"{expected}.{expected}"


def test_a_name_is_always_below_the_directory():
    assert file_names.at("/abs/<DATETIME>.log", "%Y", NOW) == "abs/2026.log"
    assert file_names.at("<DATETIME>.log", "/%Y", NOW) == "2026.log"


def test_the_directives_of_strftime_are_those_of_the_original():
    now = time.strptime("2026-11-03 17:05:09", "%Y-%m-%d %H:%M:%S")
    assert file_names.format_time("%Y-%m-%d_%H.%M.%S %y %b %B %a %A %I %p", now) == (
        "2026-11-03_17.05.09 26 Nov November Tue Tuesday 05 PM"
    )
    assert file_names.format_time("%F %T %s %e %% %", now) == "%F %T %s %e % %"


@pytest.mark.parametrize(
    ("name", "datetime_format", "text"),
    [
        ("../x.log", "%H", "leads out"),
        ("a/../../x.log", "%H", "leads out"),
        ("<DATETIME>.log", "../%H", "leads out"),
        ("<DATETIME>/..", "%H", "leads out"),
        ("a/", "%H", "names no file"),
        ("<DATETIME>", "%H/", "names no file"),
        ("", "%H", "names no file"),
        ("/", "%H", "names no file"),
        ("a/.", "%H", "names no file"),
    ],
)
def test_a_name_that_is_not_below_the_directory_is_refused(name, datetime_format, text):
    template = file_names.template(name, "t", gzip=False, with_rev=False)
    with pytest.raises(ValueError, match=text):
        file_names.check(template, datetime_format)


def test_names_of_earlier_runs_are_known_again():
    template = file_names.template(
        "<TOPIC>/<HOST>.<PID><REV>.<DATETIME>.log", "a.b", gzip=True, with_rev=True, pid="<PID>",
        host_identifier="h",
    )  # fmt: skip
    pattern = file_names.pattern(template, "%Y-%m-%d_%b.x")
    assert pattern.fullmatch("a.b/h.123-000007.2026-01-31_Jan.x.log.gz")["rev"] == "-000007"
    for other in (
        "aXb/h.123-000007.2026-01-31_Jan.x.log.gz",
        "a.b/h.123-000007.2026-01-31_01.x.log.gz",
        "a.b/h.123.2026-01-31_Jan.x.log.gz",
        "a.b/h.-000007.2026-01-31_Jan.x.log.gz",
    ):
        assert not pattern.fullmatch(other)
