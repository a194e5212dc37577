"""The command line of the commands that show, act on, publish and consume messages."""

import argparse
from pathlib import Path
from typing import Any, Protocol

from nsqctl.shared.options import count, header, positive

STATES = ("queued", "in_flight", "deferred", "dead", "log")
FORMS = ("text", "base64", "none")


class Add(Protocol):
    """Adds a command, with the options that name a cluster."""

    def __call__(
        self, commands: Any, name: str, help: str, command: str
    ) -> argparse.ArgumentParser: ...


def add_message_commands(commands: Any, add: Add) -> None:
    """Add what shows messages, and acts on them, to ``commands``."""
    _add_messages(commands, add)
    _add_message(commands, add)
    _add_redrive(commands, add)
    help = "what is published to a topic, as it comes"
    parser = add(commands, "tail", help, "nsqctl.commands.tail:tail")
    parser.add_argument("topic")
    parser.add_argument("--count", type=count, metavar="N", help="stop after N (never)")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each")
    _add_pub(commands, add)
    _add_sub(commands, add)


def add_group(commands: Any, name: str, help: str) -> Any:
    """A command whose first argument is an action; what its actions are added to."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    return parser.add_subparsers(metavar="ACTION", required=True)


def _add_pub(commands: Any, add: Add) -> None:
    help = "publish lines of standard input or of files, or files as they are"
    parser = add(commands, "pub", help, "nsqctl.commands.publish:publish")
    parser.add_argument("topic")
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="a message each")
    parser.add_argument("--lines", action="store_true", help="each line of the files is one")
    parser.add_argument("--rate", type=positive, metavar="N", help="messages a second (all)")
    parser.add_argument("--defer", type=positive, metavar="SECONDS", help="deliver them later")
    parser.add_argument(
        "--header", type=header, action="append", metavar="NAME=VALUE", help="(repeatable)"
    )


def _add_sub(commands: Any, add: Add) -> None:
    help = "consume a channel; writes bodies, a line each, and finishes what it has written"
    parser = add(commands, "sub", help, "nsqctl.commands.subscribe:subscribe")
    parser.add_argument("topic")
    parser.add_argument("channel", nargs="?", help="(an ephemeral one of its own)")
    parser.add_argument("--count", type=count, metavar="N", help="stop after N (never)")
    parser.add_argument("--rate", type=positive, metavar="N", help="messages a second (all)")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each")


def _add_messages(commands: Any, add: Add) -> None:
    help = "messages of a topic or a channel, which stay where they are"
    parser = add(commands, "messages", help, "nsqctl.commands.messages:messages")
    parser.add_argument("topic")
    parser.add_argument("channel", nargs="?", help="(what waits in the topic itself)")
    parser.add_argument("--state", choices=STATES, default="queued", help="(queued)")
    parser.add_argument("--limit", type=count, default=100, metavar="N", help="(100)")
    parser.add_argument("--contains", default="", metavar="TEXT", help="with this in their bodies")
    parser.add_argument("--id", default="", metavar="HEX", help="with ids that begin like this")
    parser.add_argument("--min-age", default="", metavar="TIME", help="this old at least: 90s, 2h")
    parser.add_argument("--max-age", default="", metavar="TIME", help="this old at most")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each")
    parser.add_argument("--body", choices=FORMS, default="text", help="in JSON (text)")
    parser.add_argument(
        "--max-body", type=count, default=1024, metavar="BYTES", help="of a body, in JSON (1024)"
    )


def _add_redrive(commands: Any, add: Add) -> None:
    help = "send dead letters back to where they come from"
    parser = add(commands, "redrive", help, "nsqctl.commands.redrive:redrive")
    parser.add_argument("topic", help="the dead-letter topic")
    parser.add_argument("ids", metavar="ID", nargs="*", help="(all)")
    parser.add_argument("--channel", default="", help="of the topic, to take them from")
    parser.add_argument("--to", choices=("channel", "topic"), default="channel", help="(channel)")
    parser.add_argument("--limit", type=count, metavar="N", help="on each nsqd, the oldest first")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_message(commands: Any, add: Add) -> None:
    help = "fetch one message, or finish, requeue, dead-letter or copy some"
    actions = add_group(commands, "message", help)
    for action, help in (
        ("get", "write the body of a message to standard output"),
        ("finish", "have messages done with, wherever they are"),
        ("requeue", "have messages delivered at once, whoever holds them"),
        ("dead", "send messages to the dead-letter topic of their channel"),
        ("copy", "publish the bodies of messages to another topic"),
    ):
        command = add(actions, action, help, "nsqctl.commands.messages:message")
        command.set_defaults(action=action)
        command.add_argument("topic")
        many = None if action == "get" else "+"
        command.add_argument("ids", metavar="ID", nargs=many or 1)
        needed = action in ("requeue", "dead")
        command.add_argument("--channel", default="", required=needed, help="whose they are")
        shown = "the message as JSON" if action == "get" else "what became of them, as JSON"
        command.add_argument("--json", action="store_true", help=shown)
        if action != "get":
            command.add_argument("--reason", default="", metavar="TEXT", help="for nsqd's log")
        if action == "copy":
            command.add_argument("--to", required=True, metavar="TOPIC")
        if action in ("finish", "dead"):
            command.add_argument("--yes", action="store_true", help="do not ask")
