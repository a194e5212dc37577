"""Publishing: the producer."""
