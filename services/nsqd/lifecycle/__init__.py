"""How one nsqd begins, runs and ends: listeners, sessions, the clock, the disk, the drain."""
