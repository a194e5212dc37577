"""The calls to the file system, in places that a test can replace."""
