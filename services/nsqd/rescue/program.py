"""The command line of ``python -m nsqd.rescue``."""

import argparse
import json
import os
import sys
import time
from functools import partial

from nsqcore.app.process.dirlock import lock_directory
from nsqcore.app.process.pipes import end_by_broken_pipe
from nsqd.rescue.checking import check
from nsqd.rescue.dumping import dump_entries, dump_messages
from nsqd.rescue.exporting import TimersWouldBeDropped, export
from nsqd.rescue.reading import NoFormat, NothingDurable, open_durable
from nsqd.rescue.repairing import repair
from nsqd.storage.durable.format.entries import UnknownFormat
from nsqd.storage.durable.store import NewerFormat
from nsqd.storage.durable.topics.state import BadState


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 if all is well, 1 if there is damage or it could not be done."""
    given = _parser().parse_args(arguments)
    run = {"check": _check, "dump": _dump, "export": _export, "repair": _repair}[given.action]
    try:
        with lock_directory(given.directory):
            status = run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        end_by_broken_pipe()
    except KeyboardInterrupt:
        return 130
    except (
        OSError,
        NothingDurable,
        NewerFormat,
        UnknownFormat,
        TimersWouldBeDropped,
    ) as error:
        print(f"nsqctl: {error}", file=sys.stderr)
        return 1
    except (BadState, NoFormat) as error:
        print(
            f"nsqctl: {error}\nnsqd does not start on this: `nsqctl durable repair` makes a copy"
            " on which it does",
            file=sys.stderr,
        )
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m nsqd.rescue", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name in ("check", "dump", "export", "repair"):
        action = actions.add_parser(name)
        action.add_argument("directory")
        if name == "check":
            action.add_argument("--json", action="store_true")
        if name == "dump":
            action.add_argument("--entries", action="store_true")
            action.add_argument("--topic", default="")
            action.add_argument("--body", choices=("base64", "text", "none"), default="base64")
        if name == "export":
            action.add_argument("--to", required=True)
            action.add_argument("--drop-timers", action="store_true")
    return parser


def _check(given: argparse.Namespace) -> int:
    findings = check(open_durable(given.directory))
    print(json.dumps(findings.to_json(), indent=2) if given.json else findings.to_text())
    return 1 if findings.problems else 0


def _dump(given: argparse.Namespace) -> int:
    opened = open_durable(given.directory)
    entries = given.entries
    for line in dump_entries(opened) if entries else dump_messages(opened, given.topic, given.body):
        print(line)
    return 0


def _export(given: argparse.Namespace) -> int:
    reopen = partial(open_durable, given.directory)
    exported = export(
        reopen(),
        os.path.abspath(given.to),
        now=time.time_ns(),
        drop_timers=given.drop_timers,
        warn=partial(print, file=sys.stderr),
        reopen=reopen,
    )
    print(f"{exported.messages} messages in {exported.queues} queues, in {given.to}")
    if exported.timers:
        print(f"{exported.timers} of them are delivered at once, though they are due later")
    return 0


def _repair(given: argparse.Namespace) -> int:
    repaired = repair(given.directory)
    if not repaired.aside:
        print("nsqd starts on it as it is: nothing was done (`check` tells of damaged messages)")
        return 0
    for line in repaired.done:
        print(line)
    print(f"nsqd starts on {given.directory}; what was there is in {repaired.aside}")
    return 0
