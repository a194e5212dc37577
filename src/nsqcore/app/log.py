"""Logging set-up of a daemon: stdlib records in, lines on standard error out.

The text format is the one NSQ's users grep: prefix, local time with microseconds, level, message.
With ``--log-format json`` each line is one JSON object. Whatever a peer puts into a message stays
one line, and no password or token in a URL is written. A log line that cannot be written is
dropped: it must never end or disturb the daemon.
"""

import json
import logging
import os
import select
import sys
from datetime import datetime
from typing import Any, Protocol, cast

from nsqcore.app.config.options import option
from nsqcore.app.config.values import choice
from nsqcore.classes import frozen
from nsqcore.redaction import redact

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}

_NAMES = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO",
    logging.WARNING: "WARNING",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "FATAL",
}

# Chatty at INFO, with a line for each request they make or serve; ours say what matters.
_LIBRARIES = ("asyncio", "httpcore", "httpx", "quart")

# A control character in a message could forge a line or drive a terminal.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROL |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_CONTROL |= {0x2028: "\\u2028", 0x2029: "\\u2029"}

# Milliseconds for the rest of a line where standard error is non-blocking and has no room.
LONGEST_WAIT = 1000

parse_level = choice(*LEVELS)


class LogOptions(Protocol):
    """The settings that every daemon has about its log."""

    @property
    def log_level(self) -> str:
        """The least important level that is shown: one of `LEVELS`."""
        ...

    @property
    def log_prefix(self) -> str:
        """What every line of the text format begins with."""
        ...

    @property
    def log_format(self) -> str:
        """``text`` or ``json``."""
        ...


def level_option() -> Any:
    """The ``--log-level`` of a daemon."""
    return option("info", "log verbosity: debug, info, warn, error, or fatal", parse=parse_level)


def prefix_option(program: str) -> Any:
    """The ``--log-prefix`` of a daemon."""
    return option(f"[{program}] ", "text before every log line (not with --log-format json)")


def format_option() -> Any:
    """The ``--log-format`` of a daemon."""
    return option("text", "how log lines are written: text or json", parse=choice("text", "json"))


@frozen
class TextFormat:
    """Records as ``[nsqd] 2006/01/02 15:04:05.000000 INFO: text`` lines."""

    prefix: str

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without its end; a traceback follows on lines of its own."""
        moment = datetime.fromtimestamp(record.created)
        level = _NAMES.get(record.levelno, record.levelname)
        message = redact(record.getMessage())
        if not message.isprintable():
            message = message.translate(_CONTROL)
        trace = _traceback(record)
        lines = f"{self.prefix}{moment:%Y/%m/%d %H:%M:%S.%f} {level}: {message}"
        return f"{lines}\n{trace}" if trace else lines


@frozen
class JsonFormat:
    """Records as JSON objects: time, level, program, source, message, and error if there is one."""

    program: str

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without its end."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        fields = {
            "time": moment.isoformat(timespec="microseconds"),
            "level": _NAMES.get(record.levelno, record.levelname).lower(),
            "program": self.program,
            "source": record.name,
            "message": redact(record.getMessage()),
        }
        if trace := _traceback(record):
            fields["error"] = trace
        return json.dumps(fields)


def _traceback(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return redact(logging.Formatter().formatException(record.exc_info).rstrip("\n"))


@frozen
class LogStream:
    """A place for lines that may be closed, full or read-only without anybody noticing.

    Writes straight to the descriptor: Python's own stderr keeps what it could not write, and turns
    it into an exit status at the end.
    """

    descriptor: int = 2

    def write(self, text: str) -> None:
        """Write ``text``, or as much of it as can be written now."""
        data = whole = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                try:
                    data = data[os.write(self.descriptor, data) :]
                except BlockingIOError:  # the parent made it non-blocking
                    if data is whole or not self._has_room_soon():
                        return
        except OSError:
            pass

    def _has_room_soon(self) -> bool:
        """Wait, but not for long: half a line has been written already."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        return bool(poll.poll(LONGEST_WAIT))

    def flush(self) -> None:
        """Nothing: each line is written at once."""


def set_up(program: str, options: LogOptions, *, stream: LogStream | None = None) -> None:
    """Send all records from now on to ``stream`` (standard error), as the settings say."""
    style = JsonFormat(program) if options.log_format == "json" else TextFormat(options.log_prefix)
    handler = logging.StreamHandler(cast("Any", stream or LogStream()))
    handler.setFormatter(cast("logging.Formatter", style))
    logging.raiseExceptions = (
        False  # a wrong format string is a bug, but no reason to write a traceback
    )
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(options.log_level)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - libraries print to it unasked


def set_level(name: str) -> None:
    """Drop records below the level ``name`` (a key of `LEVELS`), from now on."""
    level = LEVELS[name]
    logging.getLogger().setLevel(level)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(max(level, logging.WARNING))
