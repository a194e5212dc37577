"""The HTTP interfaces of nsqd and nsqlookupd."""
