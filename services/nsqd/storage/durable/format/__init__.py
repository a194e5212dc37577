"""The bytes of durable storage: batches, journal entries, payloads, checksums."""
