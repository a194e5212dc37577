"""Settings of a program: one class, in which each field says everything about one setting.

From that class come the flags, the keys of the TOML file (``--config``), the environment variables,
the help text and the configuration reference. A value is looked for in this order: flag,
environment, file, default.

The file's key is the field's name, or ``key`` where that name would not do; the flag is the key
with dashes unless ``flag`` says otherwise; the variable is the program and the flag in capitals
(``NSQD_MEM_QUEUE_SIZE``), and with ``_FILE`` behind it names a file that holds the value. Errors
name the setting and where its value came from. Nothing here knows a single setting of a particular
program.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import attrs

from nsqcore.app.config.values import boolean, duration_text, integer, seconds, text, type_name
from nsqcore.classes import Factory, field, frozen
from nsqcore.redaction import redact

T = TypeVar("T")
Parse = Callable[[Any], Any]
Version = str | Callable[[], str] | None
_METADATA = "nsqcore.app.option"


class OptionsError(ValueError):
    """Settings with which the program cannot run; the text names the setting, and no password.

    ``status`` is the exit status: 2 for a command line that does not parse, 1 for everything else.
    """

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(redact(message))
        self.status = status


@frozen
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
    parse: Parse = field(repr=False)
    check: Callable[[Any], None] | None = field(repr=False)
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
    """A field of an options class, which `nsqcore.classes.frozen` makes.

    Args:
        default: the value, or a function that makes it. For ``many``, any sequence.
        parse: from text or TOML value to value; guessed from the default's type: bool, int, str,
            and float, which means seconds. Raises ValueError.
        type: what help texts call its values, where ``parse`` is not one of `values`.
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
    return field(
        default=Factory(maker) if maker else default,
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
    for one in attrs.fields(cls):
        metadata = one.metadata.get(_METADATA)
        if metadata is None:
            continue
        fields = dict(metadata)
        key = fields.pop("key") or one.name
        flag = fields.pop("flag") or key.replace("_", "-")
        shown = fields.pop("shown")
        default = show_value(one.default, fields["parse"]) if shown is None else shown
        yield Setting(
            name=one.name,
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


def help_text(cls: type, program: str, *, version: Version = "") -> str:
    """What ``--help`` prints: every flag with its type, meaning, default and variable."""
    lines = [f"Usage of {program}:"]
    for setting in settings(cls, program):
        kind = "" if setting.type == "bool" else f" {setting.type}"
        default = f" (default {setting.default})" if setting.default not in ("", "false") else ""
        lines += [f"  --{setting.flag}{kind}", f"        {setting.help}{default}"]
    if version is not None:
        lines += ["  --version", "        print the version and exit"]
    known = list(settings(cls, program))
    has_file = any(setting.name == "config" for setting in known)
    variable = next(setting for setting in known if setting.name != "config").variables[0]
    lines += [
        "",
        f"Every flag can be set in the environment, as {variable}, or read from a file",
        f"whose path is in {variable}_FILE. A flag wins over the environment"
        + (",\nwhich wins over the config file." if has_file else "."),
    ]
    return "\n".join(lines) + "\n"
