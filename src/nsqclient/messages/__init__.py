"""A message in a program's hands, and the buffer it waits in."""
