"""The engine: topics, channels, queues, consumers.

Synchronous and deterministic: no trio, no sockets, no files, no threads, no chance, no clock.
``now`` is an argument everywhere, in monotonic nanoseconds. Messages are kept behind the port of
`nsqd.engine.messages.queue`; consumers are handed records.
"""
