"""What each nsqd has of its own, seen and changed at all of them: policies, messages."""
