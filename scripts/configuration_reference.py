"""Writes docs/configuration.md from the options classes: what there is to set, and how.

    python scripts/configuration_reference.py [FILE]

The classes are the only place that names a setting; a test fails when the page is older than they.
"""

import sys
from pathlib import Path

from nsqadmin.config.options import NsqadminOptions
from nsqcore.app.config.options import Setting, settings
from nsqd.config.options import NsqdOptions
from nsqlookupd.options import NsqlookupdOptions

PAGE = Path(__file__).parents[1] / "docs/configuration.md"
PROGRAMS = {"nsqd": NsqdOptions, "nsqlookupd": NsqlookupdOptions, "nsqadmin": NsqadminOptions}

INTRODUCTION = """\
# Configuration reference

<!-- Written by scripts/configuration_reference.py (make configuration); changes here are lost. -->

Every setting of a daemon can be given in three ways. The first that has it wins:

1. a **flag**: `--msg-timeout=90s` or `-msg-timeout 90s`;
2. a **variable of the environment**: the program and the flag in capitals, `NSQD_MSG_TIMEOUT=90s`.
   With `_FILE` behind it, the variable names a file that holds the value; where both are given and
   not empty, the value counts. An empty variable counts as none, except for texts, which it makes
   empty;
3. the **configuration file**, TOML, that `--config` names: `msg_timeout = "90s"`. Keys are the
   flags with underscores, or as the tables say. A key that is not known is logged and ignored.

| type | how it is written |
|---|---|
| duration | `1m30s`, `250ms`; in the file a number stands for milliseconds, as in the original |
| bool | `true`, `false`; as a flag, the name alone means true |
| repeatable | the flag several times; in a variable separated by commas; in the file a list |

A value that does not parse or cannot be meant ends the program before it opens a port: status 2 for
a flag, 1 for everything else, with a line that names the setting and where its value came from.

`GET /config/NAME` of nsqd and nsqadmin tells the value in force, `PUT /config/NAME` changes the few
that can be changed while the program runs: `log_level`, and nsqd's `nsqlookupd_tcp_addresses` or
nsqadmin's `nsqlookupd_http_addresses`.
"""


def reference() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for program, options in PROGRAMS.items():
        known = list(settings(options, program))
        current = [each for each in known if not each.deprecated]
        parts += [f"## {program}\n", "| flag | default | what it does |", "|---|---|---|"]
        parts += [row(each) for each in current]
        old = ", ".join(f"`--{each.flag}`" for each in known if each.deprecated)
        parts.append(f"\nAccepted, with a warning, and without effect: {old}.\n" if old else "")
    return "\n".join(parts)


def row(setting: Setting) -> str:
    """One line of a table."""
    kind = "" if setting.type == "bool" else f" {setting.type}"
    notes = [f"variable `{setting.variables[0]}`"]
    if setting.key != setting.flag.replace("-", "_"):
        notes.append(f"key `{setting.key}`")
    if setting.many:
        notes.append("repeatable")
    default = f"`{setting.default}`" if setting.default else ""
    if " " in setting.default:
        default = setting.default
    meaning = _cell(setting.help) + "<br>" + ", ".join(notes)
    return f"| `--{setting.flag}`{_cell(kind)} | {_cell(default)} | {meaning} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else PAGE).write_text(reference())
