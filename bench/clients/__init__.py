"""The same work for each client library: one module a library, one process a run."""
