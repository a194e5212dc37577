"""The ``nsqctl`` command: its command line, and which function each subcommand is.

Functions are named for `nsqcore.late.load`: neither --help nor a mistyped option waits for trio,
and no command for what only others need. One that is about a cluster is called with the cluster
and the options, another with the options; the exit status comes back.
"""

import argparse
import errno
import os
import sys
import threading
from pathlib import Path
from typing import Any

from nsqcore.app.process.extras import missing_extra
from nsqcore.app.process.pipes import end_by_broken_pipe
from nsqcore.app.process.streams import wait_where_output_is_non_blocking
from nsqcore.app.process.version import short_version_line
from nsqcore.app.startup import fill_closed_descriptors, ignore_unused_signals
from nsqcore.errors import NsqError
from nsqcore.late import load
from nsqctl.message_options import add_group, add_message_commands
from nsqctl.shared.options import (
    DESTRUCTIVE,
    LOOKUPD_VARIABLE,
    add_credentials,
    add_target,
    address,
    count,
    default_lookupds,
    members,
    positive,
    size,
    token_name,
    token_roles,
    topic_globs,
    web_address,
)

# What writing to a full disk or device fails of. Only what is printed has no name of a file.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")

Commands = Any  # argparse's own class for this is private


def main(arguments: list[str] | None = None) -> int:
    """The exit status of one ``nsqctl`` command."""
    fill_closed_descriptors()
    if threading.current_thread() is threading.main_thread():
        ignore_unused_signals("SIGUSR1")
    wait_where_output_is_non_blocking()
    if sys.stdout is None:  # closed by whoever started us: nobody wants to see it
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    parser = make_parser()
    given = parser.parse_args(arguments)
    if "lookupd_http_address" in given and not (
        given.lookupd_http_address or given.nsqd_http_address
    ):
        try:
            given.lookupd_http_address = default_lookupds()
        except argparse.ArgumentTypeError as error:
            parser.error(f"{LOOKUPD_VARIABLE}: {error}")
    try:
        status: int = load("trio:run")(_run, given)
        sys.stdout.flush()
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as error:
        return _report(error)
    return status


async def _run(given: argparse.Namespace) -> int:
    """Run the command, which only now is imported: no other, and no cluster where it needs none."""
    command = load(given.command)
    status: int
    if given.of_cluster:
        async with load("nsqctl.shared.target:open_cluster")(given) as cluster:
            status = await command(cluster, given)
    else:
        status = await command(given)
    return status


def _report(error: BaseException) -> int:
    """Tell what is the user's to mend in a line; let everything else be seen."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):
        end_by_broken_pipe()
    if isinstance(error, OSError) and error.filename is None and error.errno in UNWRITABLE:
        print(f"nsqctl: standard output: {error.strerror}", file=sys.stderr)
        return 1
    if isinstance(error, NsqError | OSError):
        print(f"nsqctl: {error}", file=sys.stderr)
        return 1
    if isinstance(error, ModuleNotFoundError):
        print(missing_extra("nsqctl", error), file=sys.stderr)
        return 1
    raise error


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="nsqctl", description="A cluster at hand, and a hand on it."
    )
    parser.add_argument("--version", action="version", version=short_version_line("nsqctl"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_up(commands)
    _add_lists(commands)
    _add_actions(commands)
    add_message_commands(commands, _add)
    _add_policy(commands)
    _add_durable(commands)
    _add_token(commands)
    _add_top(commands)
    _add_bench(commands)
    doctor = _add(
        commands,
        "doctor",
        "check a cluster; each finding says what to do",
        "nsqctl.doctor.checks:doctor",
    )
    doctor.add_argument(
        "--nsqadmin-http-address",
        action="append",
        type=web_address,
        metavar="HOST:PORT",
        help="an nsqadmin, whose door is to be tried, too, with https:// where a proxy has one"
        " (repeatable)",
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    completion = _add(
        commands,
        "completion",
        "a script that has a shell complete commands and options",
        "nsqctl.commands.completion:completion",
        cluster=False,
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    completion.set_defaults(parser=parser)
    return parser


def _add(
    commands: Commands,
    name: str,
    help: str,
    command: str,
    *,
    cluster: bool = True,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    parser.set_defaults(command=command, of_cluster=cluster)
    if cluster:
        add_target(parser)
    return parser


def _add_up(commands: Commands) -> None:
    parser = _add(
        commands,
        "up",
        "start a local cluster in the foreground",
        "nsqctl.up.run:run_up",
        cluster=False,
    )
    parser.add_argument("--nsqd", type=members, default=2, metavar="N", help="how many nsqd (2)")
    parser.add_argument("--data-path", type=Path, default=Path("data"), help="(./data)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    parser.add_argument(
        "--broadcast-address",
        default="",
        metavar="ADDRESS",
        help="what others are told of it (the host; this machine's own address for 0.0.0.0)",
    )
    parser.add_argument(
        "--log-level", choices=LOG_LEVELS, default="warn", help="of all the daemons (warn)"
    )
    parser.add_argument("--no-admin", action="store_true", help="without nsqadmin")
    parser.add_argument(
        "--shared-ports",
        action="store_true",
        help="one address more, which all nsqd have in common, for publishers",
    )


def _add_lists(commands: Commands) -> None:
    for name, help in (
        ("topics", "every topic"),
        ("channels", "every channel, or those of one topic"),
        ("nodes", "every nsqd"),
        ("lookup", "where a topic is"),
        ("stats", "a topic in detail, with its consumers"),
    ):
        parser = _add(commands, name, help, f"nsqctl.statistics.listing:{name}")
        parser.add_argument("--json", action="store_true", help="for programs")
        if name == "channels":
            parser.add_argument("topic", nargs="?")
        if name in ("lookup", "stats"):
            parser.add_argument("topic")
        if name == "stats":
            parser.add_argument("channel", nargs="?")


def _add_actions(commands: Commands) -> None:
    for action, help in (
        ("create", "make a topic or a channel"),
        ("delete", "remove a topic or a channel, with its messages"),
        ("pause", "hold back the messages of a topic or a channel"),
        ("unpause", "let them go on"),
        ("empty", "drop the messages of a topic or a channel"),
        ("tombstone", "hide one nsqd from those who look for a topic, and delete the topic there"),
    ):
        parser = _add(commands, action, help, "nsqctl.commands.actions:act")
        parser.set_defaults(action=action)
        parser.add_argument("topic")
        if action == "tombstone":
            parser.add_argument("node", type=address, metavar="HOST:HTTP-PORT")
        else:
            parser.add_argument("channel", nargs="?")
        if action in ("pause", "unpause", "empty"):
            parser.add_argument(
                "--node", type=address, metavar="HOST:HTTP-PORT", help="on this nsqd only"
            )
        if action in DESTRUCTIVE:
            parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_policy(commands: Commands) -> None:
    help = "what topics and channels are promised and allowed, on every nsqd"
    actions = add_group(commands, "policy", help)
    for action, help in (
        ("list", "every policy, and where nsqds differ"),
        ("set", "define a policy on every nsqd"),
        ("delete", "remove a policy from every nsqd"),
        ("export", "all policies, as a file for --policy-file or import"),
        ("import", "define the policies of a file on every nsqd"),
        ("diff", "what nsqds have otherwise than a file"),
    ):
        command = _add(actions, action, help, "nsqctl.commands.policies:run_policy_command")
        command.set_defaults(action=action)
        if action == "list":
            command.add_argument("--json", action="store_true", help="for programs")
        if action in ("set", "delete"):
            command.add_argument("name")
        if action in ("import", "diff"):
            command.add_argument("file", type=Path)
        if action == "delete":
            command.add_argument("--yes", action="store_true", help="do not ask")
        if action == "set":
            command.add_argument("pattern", help="topics (orders*) or channels (orders*:audit)")
            command.add_argument("values", nargs="+", metavar="KEY=VALUE")
            command.add_argument("--priority", type=int, default=0, metavar="N", help="(0)")
            command.add_argument(
                "--limit", action="store_true", help="the values are the most that others can give"
            )


def _add_durable(commands: Commands) -> None:
    help = "durable topics in the data directory of an nsqd that is stopped"
    actions = add_group(commands, "durable", help)
    for action, help in (
        ("check", "read everything and tell what is damaged"),
        ("dump", "every message that is left, as JSON lines"),
        ("export", "write what is left as files of plain topics"),
        ("repair", "make a directory that nsqd refuses to start on one that it starts on"),
    ):
        command = _add(
            actions, action, help, "nsqctl.commands.durable:run_durable_command", cluster=False
        )
        command.set_defaults(action=action)
        command.add_argument("directory", metavar="DIR", help="the --data-path of the nsqd")
        if action == "check":
            command.add_argument("--json", action="store_true", help="for programs")
        if action == "dump":
            command.add_argument("--topic", default="", help="this one only")
            shown = ("base64", "text", "none")
            command.add_argument("--body", choices=shown, default="base64", help="(base64)")
            command.add_argument(
                "--entries", action="store_true", help="the journal's entries instead"
            )
        if action == "export":
            command.add_argument("--to", required=True, metavar="DIR", help="empty, or to be made")
            command.add_argument(
                "--drop-timers", action="store_true", help="deliver deferred messages at once"
            )


def _add_token(commands: Commands) -> None:
    parser = _add(
        commands,
        "token",
        "make a token for HTTP, and the line that --auth-file needs for it",
        "nsqctl.commands.tokens:print_token",
        cluster=False,
    )
    parser.add_argument("name", type=token_name, help="whose it is")
    parser.add_argument(
        "--role",
        required=True,
        type=token_roles,
        metavar="ROLE[,ROLE]",
        help="publish, read, operate or admin",
    )
    parser.add_argument(
        "--topics", type=topic_globs, metavar="GLOB[,GLOB]", help="which topics: 'orders*' (all)"
    )


def _add_top(commands: Commands) -> None:
    parser = _add(commands, "top", "the busiest channels, live", "nsqctl.statistics.top:top")
    parser.add_argument("--interval", type=positive, default=2.0, metavar="SECONDS", help="(2)")
    parser.add_argument("--count", type=count, metavar="N", help="stop after N (never)")
    keys = "d depth, r in/s, o done/s, i in flight, c clients, t timed out/s, n name"
    parser.add_argument("--sort", choices=list("droictn"), default="d", help=keys)


def _add_bench(commands: Commands) -> None:
    help = "what an nsqd can do, measured from here with our client"
    parser = _add(commands, "bench", help, "nsqctl.commands.bench:bench", cluster=False)
    parser.add_argument(
        "--nsqd-tcp-address", type=address, default="127.0.0.1:4150", metavar="HOST:PORT"
    )
    parser.add_argument(
        "--nsqd-http-address", type=web_address, default="127.0.0.1:4151", metavar="HOST:PORT"
    )
    parser.add_argument(
        "--lookupd-http-address",
        action="append",
        type=web_address,
        metavar="HOST:PORT",
        help="an nsqlookupd that is to forget the topic afterwards (repeatable)",
    )
    add_credentials(parser)
    parser.add_argument("--count", type=count, default=200_000, help="messages (200000)")
    parser.add_argument("--size", type=size, default=200, help="bytes of a message (200)")
    parser.add_argument("--batch", type=count, default=200, help="messages per publish (200)")
    parser.add_argument("--publishers", type=count, default=4, help="publishes at a time (4)")
    parser.add_argument("--max-in-flight", type=count, default=2500, help="(2500)")
    parser.add_argument("--rate", type=positive, default=100.0, help="for latency, msg/s (100)")
    parser.add_argument("--seconds", type=positive, default=3.0, help="for latency (3)")
    parser.add_argument("--json", action="store_true", help="for programs")


if __name__ == "__main__":
    sys.exit(main())
