"""The journal: what is appended in one write, and the thread that flushes it."""
