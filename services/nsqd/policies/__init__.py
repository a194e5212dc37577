"""Policies: what topics and channels are promised and allowed, by patterns of their names.

A policy gives values to keys (`keys`) for every name that its pattern matches (`patterns`). Several
may match: they are merged key by key (`policies`), the higher priority wins. Nothing here does I/O
or reads a clock.
"""
