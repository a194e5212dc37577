"""The NSQ wire formats as values: bytes in, values out, and back.

Sans-I/O by rule: no sockets, no clock, no log, no trio. Parsers never raise on
what a peer sends; a fault is the last value of what they return.
"""
