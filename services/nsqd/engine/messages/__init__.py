"""What a message is, its id, and the port to the queues that hold messages."""
