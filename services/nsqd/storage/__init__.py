"""The queues of topics and channels: in memory, on disk, and the two in tiers."""
