"""What is imported only once it is needed, by programs that are to start at once.

Imports stand at the top of a module. Two kinds do not: a program's parts, which come after
`nsqcore.app.startup.begin`, and what takes long to load while most runs do without. Those are
named ``package.module:name`` and go through `load`; an import in a function has a comment that
says why it is there.
"""

from importlib import import_module
from typing import Any


def load(place: str) -> Any:
    """The object that ``place`` names, ``package.module:name``; the first call imports its module.

    Raises:
        ImportError: there is no such module, or it cannot be imported.
        AttributeError: the module has no such name.
    """
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
