"""Chooses between the compiled and the pure form of `nsqcore.wire.hot`.

The compiled one is used where it was built; ``NSQ_PURE=1`` in the environment
turns it off.
"""

import os
from types import ModuleType

from nsqcore.wire import hot as pure

hot: ModuleType = pure
try:
    if os.environ.get("NSQ_PURE", "") not in ("", "0"):
        raise ImportError("NSQ_PURE is set")
    from nsqcore.wire import _hot

    hot = _hot
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

__all__ = [
    "compiled",
    "decode_disk_records",
    "encode_disk_records",
    "encode_messages",
    "hex_ids",
    "hold",
    "make_records",
    "release",
    "split_bodies",
    "split_fin_run",
]
