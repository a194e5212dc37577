"""``nsqctl``: a cluster at hand, and a hand on a cluster.

One module a group of subcommands; `__main__` puts them together.
"""
