"""Names of the files that ``nsq_to_file`` writes: templates with ``<TOPIC>``, ``<DATETIME>``, ….

`template` fills in all that stays the same while the program runs; what is left are ``<DATETIME>``
and ``<REV>``, for `at` and `revision`. Pure, but for the process id.
"""

import os
import platform
import time

REV = "<REV>"


def template(
    filename_format: str, topic: str, *, host_identifier: str = "", gzip: bool, with_rev: bool
) -> str:
    """The template of a topic's files.

    Args:
        host_identifier: instead of the short host name; may contain ``<SHORT_HOST>`` and
            ``<HOSTNAME>``.
        with_rev: whether files are numbered; if not, ``<REV>`` goes.

    Raises:
        ValueError: ``<REV>`` is missing where files are numbered, or the topic's name would be a
            step in a path.
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
    name = name.replace("<PID>", str(os.getpid()))
    return f"{name}.gz" if gzip and not name.endswith(".gz") else name


def at(template: str, datetime_format: str, now: time.struct_time) -> str:
    """The template with the time filled in: a path below the files' directory, always."""
    return template.replace("<DATETIME>", time.strftime(datetime_format, now)).lstrip("/")


def revision(name: str, number: int) -> str:
    """The file's name with its number."""
    return name.replace(REV, f"-{number:06d}")
