"""Sockets, connections and timers: what performs the I/O of sessions, on trio."""
