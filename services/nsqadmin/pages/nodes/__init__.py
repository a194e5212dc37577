"""The pages of nodes: nsqd, nsqlookupd, and the map of them."""
