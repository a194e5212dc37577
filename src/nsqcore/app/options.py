"""Settings of a program: one attrs class, in which each field says everything about one setting.

From that class come the flags, the keys of the TOML file (``--config``), the environment variables,
the help text and the configuration reference. A value is looked for in this order: flag,
environment, file, default.

The file's key is the field's name, or ``key`` where that name would not do; the flag is the key
with dashes unless ``flag`` says otherwise; the variable is the program and the flag in capitals
(``NSQD_MEM_QUEUE_SIZE``), and with ``_FILE`` behind it names a file that holds the value. Errors
name the setting and where its value came from. Nothing here knows a single setting of a particular
program.
"""

import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import attrs

from nsqcore.app.flags import FlagError, ParsedFlags, parse_flags
from nsqcore.app.streams import Streams, text_output
from nsqcore.app.values import boolean, duration_text, integer, seconds, text, type_name
from nsqcore.app.version import version_line

T = TypeVar("T")
Parse = Callable[[Any], Any]
Version = str | Callable[[], str] | None
_METADATA = "nsqcore.app.option"


class OptionsError(ValueError):
    """Settings with which the program cannot run; the text names the setting.

    ``status`` is the exit status: 2 for a command line that does not parse, 1 for everything else.
    """

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class Setting:
    """One setting of a program, as its users see it."""

    name: str  # of the field
    flag: str
    key: str  # in the TOML file
    variables: tuple[str, ...]  # of the environment; the first is the documented one
    type: str
    default: str
    help: str
    many: bool
    deprecated: bool
    secret: bool
    parse: Parse = attrs.field(repr=False)
    check: Callable[[Any], None] | None = attrs.field(repr=False)
    bare: str | None  # what the flag alone stands for


def option(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    key: str | None = None,
    parse: Parse | None = None,
    type: str | None = None,
    check: Callable[[Any], None] | None = None,
    many: bool = False,
    bare: str | None = None,
    shown: str | None = None,
    converter: Callable[[Any], Any] | None = None,
    deprecated: bool = False,
    secret: bool = False,
) -> Any:
    """A field of an options class.

    Args:
        default: the value, or a function that makes it. For ``many``, any sequence.
        parse: from text or TOML value to value; guessed from the default's type: bool, int, str,
            and float, which means seconds. Raises ValueError.
        type: what help texts call its values, where ``parse`` is not one of `nsqcore.app.values`.
        check: raises ValueError for a value that parses but cannot be meant.
        many: the flag may be repeated; file and environment give lists; the field holds a tuple.
        bare: what the flag without a value stands for; ``"true"`` for booleans.
        shown: the default in help texts, where it differs between machines.
        deprecated: accepted, with a warning.
        secret: the value is never shown.
    """
    maker = default if callable(default) else None
    assert maker is None or shown is not None, "a default that is made needs a text for the help"
    if parse is None:
        parse = text if maker or many else _guess(default)
    if many and converter is None:
        converter = tuple
    metadata = {
        "help": help,
        "flag": flag,
        "key": key,
        "parse": parse,
        "type": type,
        "check": check,
        "many": many,
        "bare": "true" if bare is None and parse is boolean else bare,
        "shown": shown,
        "deprecated": deprecated,
        "secret": secret,
    }
    return attrs.field(
        default=attrs.Factory(maker) if maker else default,
        converter=converter,
        metadata={_METADATA: metadata},
        repr=not secret,
        kw_only=True,
    )


def _guess(default: object) -> Parse:
    if isinstance(default, bool):
        return boolean
    if isinstance(default, int):
        return integer
    return seconds if isinstance(default, float) else text


def settings(cls: type, program: str) -> Iterator[Setting]:
    """Every setting of an options class, in the order of its fields."""
    for field in attrs.fields(cls):
        metadata = field.metadata.get(_METADATA)
        if metadata is None:
            continue
        fields = dict(metadata)
        key = fields.pop("key") or field.name
        flag = fields.pop("flag") or key.replace("_", "-")
        shown = fields.pop("shown")
        default = show_value(field.default, fields["parse"]) if shown is None else shown
        yield Setting(
            name=field.name,
            flag=flag,
            key=key,
            variables=_variables(program, flag, key),
            type=fields.pop("type") or type_name(fields["parse"]),
            default=default,
            **fields,
        )


def _variables(program: str, flag: str, key: str) -> tuple[str, ...]:
    names = [f"{program}_{part}".replace("-", "_").upper() for part in (flag, key)]
    return tuple(dict.fromkeys(names))


def show_value(value: object, parse: Parse) -> str:
    """A setting's value as one would write it on the command line."""
    if isinstance(value, tuple | list):
        return ",".join(show_value(item, parse) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and parse is seconds:
        return duration_text(value)
    return str(value)


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
        _write(stderr, f"{program}: {error}{hint}\n")
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
            _from_environment(setting, environment, values)
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
        shown = "" if setting.secret else f" {content!r}"
        raise OptionsError(f"invalid value{shown} for {source}: {error}", status=status) from error


def _check(setting: Setting, value: Any) -> None:
    assert setting.check is not None
    try:
        for item in value if setting.many else [value]:
            setting.check(item)
    except ValueError as error:
        shown = "" if setting.secret else f", not {show_value(value, setting.parse)}"
        raise OptionsError(f"--{setting.flag} {error}{shown}") from error


def _from_environment(
    setting: Setting, environment: Mapping[str, str], values: dict[str, Any]
) -> None:
    for variable in setting.variables:
        content = environment.get(variable)
        if not content and (path := environment.get(f"{variable}_FILE")):
            content = _file_content(path, f"{variable}_FILE")
        # `NSQD_X=` is how compose files say "not set", but for a text it is a value: the empty one.
        if content is None or (not content and setting.type != "string"):
            continue
        source = f"environment variable {variable}"
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
            content = tomllib.load(file)
    except OSError as error:
        raise OptionsError(f"failed to load config file {path} - {error.strerror}") from error
    except ValueError as error:  # TOML's own error, or bytes that are no UTF-8
        raise OptionsError(f"failed to load config file {path} - {error}") from error
    by_key = {setting.key: setting for setting in table.values()}
    for key, value in content.items():
        setting = by_key.get(key)
        if setting is None:
            notes.append(f"config file {path}: ignoring the unknown key {key!r}")
        elif setting.name not in values:
            source = f"key {key!r} of config file {path}"
            values[setting.name] = (
                _many(setting, value, source) if setting.many else _parsed(setting, value, source)
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


def help_text(cls: type, program: str, *, version: Version = "") -> str:
    """What ``--help`` prints: every flag with its type, meaning, default and variable."""
    lines = [f"Usage of {program}:"]
    for setting in settings(cls, program):
        kind = "" if setting.type == "bool" else f" {setting.type}"
        default = f" (default {setting.default})" if setting.default not in ("", "false") else ""
        lines += [f"  --{setting.flag}{kind}", f"        {setting.help}{default}"]
    if version is not None:
        lines += ["  --version", "        print the version and exit"]
    first, *others = settings(cls, program)
    has_file = any(setting.flag == "config" for setting in (first, *others))
    lines += [
        "",
        f"Every flag can be set in the environment, as {first.variables[0]}, or read from a file",
        f"whose path is in {first.variables[0]}_FILE. A flag wins over the environment"
        + (",\nwhich wins over the config file." if has_file else "."),
    ]
    return "\n".join(lines) + "\n"
