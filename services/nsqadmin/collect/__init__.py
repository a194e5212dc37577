"""Looks at the cluster, and remembers what it saw."""
