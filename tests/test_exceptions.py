"""An exception that outlives its ``except`` keeps its text, not its traceback.

A traceback refers to the frames it went through, and these to all their local variables: bodies,
buffers, clients. Where a frame has the exception in a local variable again it is a circle that only
the collector finds, and that comes rarely (`nsqcore.app.process.garbage`).
"""

import ast
from collections.abc import Iterator

from tests.test_layers import MODULES, nodes_of

# Modules in which one is kept for a moment: to be raised by who waits for a task or a thread, or
# once all of several have been tried. So many places each.
CARRIED = {
    "nsqclient.blocking.messages": 1,
    "nsqclient.connection.sockets": 1,
    "nsqclient.consuming.discovery": 1,
    "nsqclient.consuming.runner": 3,
    "nsqclient.core.background": 1,
    "nsqclient.sync": 1,
    "nsqcore.app.service": 1,
    "nsqd.lookup.peer": 1,
    "nsqtools.nsq_to_http.forwarder": 1,
    "nsqtools.to_nsq.publisher": 1,
}


def kept(handler: ast.ExceptHandler) -> Iterator[ast.AST]:
    """Where the exception that ``handler`` caught is put into something that stays."""
    for node in ast.walk(handler):
        match node:
            case ast.Assign(value=value) | ast.AnnAssign(value=value) | ast.Return(value=value):
                if value is not None and is_exception(value, handler.name):
                    yield node
            case ast.Call(func=ast.Attribute(attr="append" | "add" | "put"), args=[value]):
                if is_exception(value, handler.name):
                    yield node


def is_exception(value: ast.AST, name: str | None) -> bool:
    """Whether ``value`` is what ``name`` is, in one of its branches or parts."""
    match value:
        case ast.Name(id=found):
            return found == name
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            return any(is_exception(part, name) for part in parts)
        case ast.IfExp(body=body, orelse=other):
            return is_exception(body, name) or is_exception(other, name)
    return False


def test_an_exception_that_outlives_its_except_is_not_kept() -> None:
    found = {
        name: [
            f"{path}:{node.lineno}"
            for handler in nodes_of(path)
            if isinstance(handler, ast.ExceptHandler) and handler.name
            for node in kept(handler)
        ]
        for name, path in MODULES
    }
    wrong = {name: places for name, places in found.items() if len(places) != CARRIED.get(name, 0)}
    assert wrong == {}
