"""Chooses between the compiled and the pure form of `nsqcore.wire.hot`.

The compiled one is used where it was built, from the ``hot.py`` that is here now;
``NSQ_PURE=1`` in the environment turns it off.
"""

import os
import zlib
from types import ModuleType

from nsqcore.wire import hot as pure


def choose(built: ModuleType) -> tuple[ModuleType, str]:
    """``built``, or the pure form and why, where ``built`` came from another ``hot.py``.

    Where only byte code is installed there is no source to compare with, and none to change.
    """
    if not pure.__file__.endswith(".py"):
        return built, ""
    with open(pure.__file__, "rb") as source:
        if getattr(built, "SOURCE", None) == zlib.crc32(source.read()):
            return built, ""
    return pure, "the compiled speed-ups are not of this source and not used: install again"


hot: ModuleType = pure
#: What an operator should know of the choice; empty if nothing.
note = ""
try:
    if os.environ.get("NSQ_PURE", "") not in ("", "0"):
        raise ImportError("NSQ_PURE is set")
    from nsqcore.wire import _hot

    hot, note = choose(_hot)
except ImportError:
    pass

compiled = hot is not pure

decode_disk_records = hot.decode_disk_records
encode_disk_records = hot.encode_disk_records
encode_messages = hot.encode_messages
hex_ids = hot.hex_ids
make_records = hot.make_records
hold = hot.hold
release = hot.release
split_fin_run = hot.split_fin_run
split_bodies = hot.split_bodies
split_publishes = hot.split_publishes

__all__ = [
    "choose",
    "compiled",
    "decode_disk_records",
    "encode_disk_records",
    "encode_messages",
    "hex_ids",
    "hold",
    "make_records",
    "note",
    "release",
    "split_bodies",
    "split_fin_run",
    "split_publishes",
]
