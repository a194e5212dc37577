"""``nsqctl doctor``: a cluster is examined, then judged."""
