"""Queues in memory, on disk behind memory, and of what is deferred."""
