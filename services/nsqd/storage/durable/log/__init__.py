"""The log of one durable topic, in segments."""
