"""``nsqctl up``: a local cluster in the foreground, for trying things out.

One nsqlookupd, some nsqd, one nsqadmin, each a process of its own, on loopback at the well-known
ports, or the next free ones. Ctrl-C, SIGTERM or the end of the terminal stops them in an order that
loses nothing; so does the end of any of them. They never outlive nsqctl
(`nsqcore.app.process.children`).
"""
