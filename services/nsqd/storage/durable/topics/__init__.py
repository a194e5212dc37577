"""Durable topics and the queues of their channels, with what is remembered of them."""
