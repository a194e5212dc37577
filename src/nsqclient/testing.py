"""The old place of `nsqd.testing`; it goes with version 0.3.

The client must not need the daemon, so the import happens when a name is asked for.
"""

from importlib import import_module
from typing import Any
from warnings import warn


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    warn("nsqclient.testing is nsqd.testing now", DeprecationWarning, stacklevel=2)
    return getattr(import_module("nsqd.testing"), name)
