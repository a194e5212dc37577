"""Chooses between the compiled and the pure form of `nsqcore.wire.hot`.

``NSQ_PURE=1`` in the environment turns the compiled one off.
"""

from nsqcore.wire import hot as pure

compiled = False

encode_messages = pure.encode_messages
make_records = pure.make_records
hold = pure.hold
release = pure.release
split_fin_run = pure.split_fin_run
split_bodies = pure.split_bodies

__all__ = [
    "compiled",
    "encode_messages",
    "hold",
    "make_records",
    "release",
    "split_bodies",
    "split_fin_run",
]
