"""Consuming: the consumer, its connections, RDY, backoff, discovery."""
