"""Names of the files that ``nsq_to_file`` writes: templates with ``<TOPIC>``, ``<DATETIME>``, ….

`template` fills in all that stays the same while the program runs; what is left are ``<DATETIME>``
and ``<REV>``, for `at` and `revision`. `pattern` matches the names that other runs gave; its
group ``rev`` is the number. Pure, but for the process id and the host's name.
"""

import os
import platform
import re
import time

REV = "<REV>"

# The directives that the original knows, with what they match; anything else stands for itself.
_DIRECTIVES = {
    "A": "[A-Z][a-z]+",
    "B": "[A-Z][a-z]+",
    "H": r"\d\d",
    "I": r"\d\d",
    "M": r"\d\d",
    "S": r"\d\d",
    "Y": r"\d{4,}",
    "Z": "[A-Za-z0-9+-]+",
    "a": "[A-Z][a-z]{2}",
    "b": "[A-Z][a-z]{2}",
    "d": r"\d\d",
    "m": r"\d\d",
    "p": "[AP]M",
    "y": r"\d\d",
    "z": r"[+-]\d{4}",
    "%": "%",
}
_DIRECTIVE = re.compile("%([" + "".join(_DIRECTIVES) + "])")


def template(
    filename_format: str,
    topic: str,
    *,
    host_identifier: str = "",
    gzip: bool,
    with_rev: bool,
    pid: str = "",
) -> str:
    """The template of a topic's files.

    Args:
        host_identifier: instead of the short host name; may contain ``<SHORT_HOST>`` and
            ``<HOSTNAME>``.
        with_rev: whether files are numbered; if not, ``<REV>`` goes.
        pid: instead of this process's id.

    Raises:
        ValueError: ``<REV>`` is missing where files are numbered, the topic's name would be a
            step in a path, or the name would lead out of the directory or to none.
    """
    if with_rev and REV not in filename_format:
        raise ValueError(
            "missing <REV> in --filename-format when gzip, rotation, or work dir enabled"
        )
    if set(topic) == {"."}:
        raise ValueError(f"a topic named {topic!r} has no file name")
    hostname = platform.node()
    short = hostname.partition(".")[0]
    host = host_identifier.replace("<SHORT_HOST>", short).replace("<HOSTNAME>", hostname) or short
    name = filename_format if with_rev else filename_format.replace(REV, "")
    name = name.replace("<TOPIC>", topic).replace("<HOST>", host)
    name = name.replace("<PID>", pid or str(os.getpid()))
    return f"{name}.gz" if gzip and not name.endswith(".gz") else name


def check(template: str, datetime_format: str) -> None:
    """Refuse, with a ValueError, a template whose names are not below the files' directory."""
    name = revision(at(template, datetime_format, time.gmtime(0)), 0)
    if ".." in name.split("/"):
        raise ValueError(f"the file name {name!r} leads out of the directory")
    if not name or name.endswith(("/", "/.")) or "\0" in name:
        raise ValueError(f"the file name {name!r} names no file")


def at(template: str, datetime_format: str, now: time.struct_time) -> str:
    """The template with the time filled in: a path below the files' directory, always."""
    return template.replace("<DATETIME>", format_time(datetime_format, now)).lstrip("/")


def format_time(datetime_format: str, now: time.struct_time) -> str:
    """The time by the directives of strftime that the original knows."""

    def value(found: re.Match[str]) -> str:
        return time.strftime(found[0], now)

    return _DIRECTIVE.sub(value, datetime_format)


def revision(name: str, number: int) -> str:
    """The file's name with its number."""
    return name.replace(REV, f"-{number:06d}")


def pattern(template: str, datetime_format: str) -> re.Pattern[str]:
    """What matches all names of a template whose ``<PID>`` was left in it."""
    time_pattern = "".join(
        _DIRECTIVES[part[1:]] if _DIRECTIVE.fullmatch(part) else re.escape(part)
        for part in re.split(f"({_DIRECTIVE.pattern.replace('(', '(?:')})", datetime_format)
    )
    text = re.escape(template.lstrip("/"))
    text = text.replace("<DATETIME>", time_pattern)
    text = text.replace(REV, r"(?P<rev>-\d{6,})", 1).replace(REV, "(?P=rev)")
    return re.compile(text.replace("<PID>", r"\d+"))
