"""A load generator for the NSQ protocols: plain sockets, one process, one epoll loop.

`python -m bench.loadgen MODE …` does one job and prints one JSON object as its last line. It shares
no code with the suite it measures, so that two revisions meet exactly the same client.
"""
