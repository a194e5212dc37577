"""What a program asks of its process: children, pipes, streams, locks, memory, version."""
