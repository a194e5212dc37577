"""The engine: topics, channels, queues, consumers.

Synchronous and deterministic: no trio, no sockets, no clock. ``now`` is an
argument everywhere, in monotonic nanoseconds.
"""
