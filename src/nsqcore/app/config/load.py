"""The settings of one run: found in the flags, the environment and the TOML file, in this order.

`nsqcore.app.config.options` says what settings are; here their values are looked for, and refused
with a text that names the setting and where its value came from.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from nsqcore.app.config.flags import FlagError, ParsedFlags, parse_flags, suggestion
from nsqcore.app.config.options import (
    OptionsError,
    Setting,
    Version,
    help_text,
    settings,
    show_value,
)
from nsqcore.app.config.values import boolean
from nsqcore.app.process.streams import Streams, text_output
from nsqcore.app.process.version import version_line
from nsqcore.late import load as load_late

T = TypeVar("T")

# Characters of a refused value that its error shows, and of the whole error.
MAX_SHOWN = 200
MAX_ERROR = 800


def load(
    cls: type[T],
    program: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    *,
    version: Version = "",
    notes: list[str] | None = None,
    arguments_allowed: bool = True,
    streams: Streams | None = None,
) -> T:
    """The settings of this run; ends the program where there can be none.

    ``--help`` and ``--version`` are answered on stdout, with status 0. What the user should know
    though the program can run (an unknown key, a deprecated flag) is appended to ``notes``, or
    printed if there is no list.

    Args:
        version: the line that ``--version`` prints, or what makes it, where it is to differ from
            `version_line`; None for a program that has no such flag.
        arguments_allowed: whether arguments behind the flags are ignored, with a note, or refused.
        streams: where answers and errors go; by default where Python's own streams lead.

    Raises:
        SystemExit: with a status as `OptionsError` has, after one line on stderr.
    """
    table = {setting.flag: setting for setting in settings(cls, program)}
    found: list[str] = []
    stdout = text_output(streams.stdout) if streams else sys.stdout
    stderr = text_output(streams.stderr) if streams else sys.stderr
    try:
        flags = _parse(table, arguments, has_version=version is not None)
        asked = {name for name, _ in flags.given}
        if asked & {"h", "help"} - set(table):
            _answer(stdout, help_text(cls, program, version=version))
        if "version" not in table and _is_on(flags, "version"):
            line = version() if callable(version) else version
            _answer(stdout, (line or version_line(program)) + "\n")
        if flags.rest and not arguments_allowed:
            raise OptionsError(f"unknown arguments: {' '.join(flags.rest)}")
        options = _resolve(cls, table, flags, environment, found)
    except OptionsError as error:
        hint = f"; see {program} --help" if error.status == 2 else ""
        _write(stderr, f"{program}: {_shortened(str(error), MAX_ERROR)}{hint}\n")
        raise SystemExit(error.status) from error
    if notes is None:
        _write(stderr, "".join(f"{program}: {note}\n" for note in found))
    else:
        notes += found
    return options


def _is_on(flags: ParsedFlags, name: str) -> bool:
    """Whether a switch that is no setting is given, and not as ``=false``."""
    answer = False
    for value in [value for flag, value in flags.given if flag == name]:
        try:
            answer = boolean(value)
        except ValueError as error:
            text = f"invalid value {value!r} for flag -{name}: {error}"
            raise OptionsError(text, status=2) from error
    return answer


def _answer(stdout: Any, answer: str) -> NoReturn:
    _write(stdout, answer)
    raise SystemExit(0)


def _write(stream: Any, content: str) -> None:
    try:
        stream.write(content)
        stream.flush()
    except (OSError, ValueError, AttributeError):
        pass  # closed, read-only or absent: the exit status still tells


def _parse(
    table: Mapping[str, Setting], arguments: Sequence[str], *, has_version: bool
) -> ParsedFlags:
    known: dict[str, str | None] = {"h": "true", "help": "true"}
    if has_version:
        known["version"] = "true"
    known |= {flag: setting.bare for flag, setting in table.items()}
    for position, argument in enumerate(arguments):
        # Go answers -h at once, whatever stands behind it.
        if argument in ("-h", "--h", "-help", "--help") and "help" not in table:
            arguments = arguments[: position + 1]
            break
    try:
        return parse_flags(arguments, known)
    except FlagError as error:
        raise OptionsError(str(error), status=2) from error


def _resolve(
    cls: type[T],
    table: Mapping[str, Setting],
    flags: ParsedFlags,
    environment: Mapping[str, str],
    notes: list[str],
) -> T:
    values = _from_flags(table, flags, notes)
    for setting in table.values():
        if setting.name not in values:
            _from_environment(setting, environment, values, notes)
    path = values.get("config", "")
    if path:
        _from_file(path, table, values, notes)
    for setting in table.values():
        if setting.check and setting.name in values:
            _check(setting, values[setting.name])
    return cls(**values)


def _from_flags(
    table: Mapping[str, Setting], flags: ParsedFlags, notes: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for flag, content in flags.given:
        if flag not in table:
            continue
        setting = table[flag]
        parsed = _parsed(setting, content, f"flag -{flag}", status=2)
        if setting.many:
            values.setdefault(setting.name, []).extend(
                parsed if isinstance(parsed, list) else [parsed]
            )
        else:
            values[setting.name] = parsed
        if setting.deprecated:
            notes.append(f"flag -{flag} is deprecated: {setting.help}")
    if flags.rest:
        notes.append(f"ignoring everything from argument {flags.rest[0]!r} on: flags end there")
    return values


def _parsed(setting: Setting, content: object, source: str, *, status: int = 1) -> Any:
    try:
        return setting.parse(content)
    except OptionsError:  # it has a status of its own
        raise
    except ValueError as error:
        shown = "" if setting.secret else f" {_shortened(repr(content))}"
        raise OptionsError(f"invalid value{shown} for {source}: {error}", status=status) from error


def _shortened(shown: str, longest: int = MAX_SHOWN) -> str:
    return shown if len(shown) <= longest else f"{shown[:longest]}…"


def _check(setting: Setting, value: Any) -> None:
    assert setting.check is not None
    try:
        for item in value if setting.many else [value]:
            setting.check(item)
    except ValueError as error:
        shown = _shortened(show_value(value, setting.parse))
        shown = "" if setting.secret else f", not {shown}"
        raise OptionsError(f"--{setting.flag} {error}{shown}") from error


def _from_environment(
    setting: Setting, environment: Mapping[str, str], values: dict[str, Any], notes: list[str]
) -> None:
    for variable in setting.variables:
        content = environment.get(variable)
        if setting.name == "config":
            # The file is the value: what it holds is never taken for its path.
            content = content or environment.get(f"{variable}_FILE")
        elif not content and (path := environment.get(f"{variable}_FILE")):
            content = _file_content(path, f"{variable}_FILE")
        # `NSQD_X=` is how compose files say "not set", but for a text it is a value: the empty one.
        if content is None or (not content and setting.type != "string"):
            continue
        source = f"environment variable {variable}"
        if setting.deprecated:
            notes.append(f"{source} is deprecated: {setting.help}")
        if setting.many:
            values[setting.name] = _many(setting, content.replace("\n", ","), source)
        else:
            values[setting.name] = _parsed(setting, content, source)
        return


def _file_content(path: str, variable: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"cannot read the file that {variable} names: {error}") from error


def _from_file(
    path: str, table: Mapping[str, Setting], values: dict[str, Any], notes: list[str]
) -> None:
    try:
        with open(path, "rb") as file:
            content = load_late("tomllib:loads")(file.read().decode("utf-8-sig"))
    except OSError as error:
        raise OptionsError(f"failed to load config file {path} - {error.strerror}") from error
    except ValueError as error:  # TOML's own error, or bytes that are no UTF-8
        raise OptionsError(f"failed to load config file {path} - {error}") from error
    by_key = {setting.key: setting for setting in table.values()}
    for key, value in content.items():
        setting = by_key.get(key)
        if setting is None:
            _refuse_misspelt(path, key, value, table)
            notes.append(f"config file {path}: ignoring the unknown key {key!r}")
            continue
        if setting.deprecated:
            notes.append(f"config file {path}: {key!r} is deprecated: {setting.help}")
        if setting.name not in values:
            source = f"key {key!r} of config file {path}"
            values[setting.name] = (
                _many(setting, value, source) if setting.many else _parsed(setting, value, source)
            )


def _refuse_misspelt(path: str, key: str, value: object, table: Mapping[str, Setting]) -> None:
    """Refuse an unknown key that must be meant for a known one. Raises OptionsError.

    Others are ignored, as in the original: files are shared with other versions.
    """
    keys = {setting.key for setting in table.values()}
    if isinstance(value, dict) and keys & value.keys():
        raise OptionsError(
            f"config file {path}: the settings in the table [{key}] belong at the top level",
            status=2,
        )
    names = {setting.flag.replace("-", "_"): setting.key for setting in table.values()}
    names |= {name: name for name in keys}
    close = suggestion(key.lower().replace("-", "_"), names)
    if close:
        raise OptionsError(
            f"config file {path}: unknown key {key!r} (did you mean {names[close]!r}?)", status=2
        )


def _many(setting: Setting, content: object, source: str) -> list[Any]:
    items = content.split(",") if isinstance(content, str) else content
    parsed: list[Any] = []
    for item in items if isinstance(items, list) else [items]:
        stripped = item.strip() if isinstance(item, str) else item
        if stripped == "":
            continue
        value = _parsed(setting, stripped, source)
        parsed += value if isinstance(value, list) else [value]
    return parsed
