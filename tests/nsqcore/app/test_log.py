"""Log lines: their format, and that writing them never hurts."""

import json
import logging
import os
import re
import threading

import attrs
import pytest

from nsqcore.app import log
from nsqcore.app.log import LogStream


@attrs.frozen
class Settings:
    log_level: str = "info"
    log_prefix: str = "[test] "
    log_format: str = "text"


@pytest.fixture
def lines(tmp_path):
    """A function that sets up logging with settings and gives what was written so far."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    descriptor = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)

    def start(**settings):
        log.set_up("test", Settings(**settings), stream=log.LogStream(descriptor))
        return lambda: (tmp_path / "log").read_text().splitlines()

    yield start
    os.close(descriptor)
    root.handlers[:], level, logging.raiseExceptions = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_line_has_prefix_time_level_and_text(lines):
    written = lines()
    logging.getLogger("x").warning("topic(%s): created", "t")
    (line,) = written()
    assert re.fullmatch(
        r"\[test\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} WARNING: topic\(t\): created", line
    )


def test_json_lines_say_the_same_in_fields(lines):
    written = lines(log_format="json")
    logging.getLogger("x").error("a %s", 'b"c')
    (line,) = written()
    fields = json.loads(line)
    assert fields["message"] == 'a b"c'
    assert (fields["level"], fields["program"], fields["source"]) == ("error", "test", "x")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]", fields["time"])


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_a_peer_writes_into_a_message_stays_on_one_line(lines, style):
    written = lines(log_format=style)
    logging.getLogger("x").info("client(%s)", "a\n[test] FATAL: forged\r\x1b[2J\u2028\udcff")
    assert len(written()) == 1
    assert "\x1b" not in written()[0]


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_password_of_a_url_is_written(lines, style):
    written = lines(log_format=style)
    try:
        raise OSError("http://user:geheim@host/ is away")
    except OSError:
        logging.getLogger("x").exception("asking %s", "https://user:geheim@host/?token=geheim")
    text = "\n".join(written())
    assert "https://***@host/?token=***" in text
    assert "http://***@host/ is away" in text
    assert "geheim" not in text


def test_a_traceback_follows_its_line(lines):
    written = lines()
    try:
        raise KeyError("why")
    except KeyError:
        logging.getLogger("x").exception("broken")
    assert written()[0].endswith("ERROR: broken")
    assert written()[-1] == "KeyError: 'why'"


def test_the_level_can_change_while_running(lines):
    written = lines(log_level="error")
    logger = logging.getLogger("x")
    logger.info("one")
    log.set_level("debug")
    logger.debug("two")
    log.set_level("fatal")
    logger.error("three")
    assert [line.rpartition(" ")[2] for line in written()] == ["two"]


def test_libraries_are_quiet_unless_something_is_wrong(lines):
    written = lines(log_level="debug")
    logging.getLogger("httpx").info("GET / 200")
    logging.getLogger("httpx").warning("odd")
    assert len(written()) == 1


@pytest.mark.parametrize("mode", ["closed", "read-only"])
def test_a_line_that_cannot_be_written_disturbs_nobody(tmp_path, mode):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    if mode == "closed":
        os.close(descriptor)
    log.LogStream(descriptor).write("lost\n")
    if mode == "read-only":
        os.close(descriptor)


def test_a_wrong_format_string_disturbs_nobody(lines, capfd):
    written = lines()
    logging.getLogger("x").info("%d", "no number")
    logging.getLogger("x").info("next")
    assert len(written()) == 1
    assert capfd.readouterr().err == ""


def test_a_line_is_whole_or_not_there_where_standard_error_is_non_blocking():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = LogStream(writing)
    lines = [f"{number:05d}" * 2000 + "\n" for number in range(20)]  # more than a pipe holds

    def write() -> None:
        for line in lines:
            stream.write(line)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    found = b""
    while part := os.read(reading, 65536):
        found += part
    writer.join()
    os.close(reading)
    assert set(found.decode().splitlines(keepends=True)) <= set(lines)
