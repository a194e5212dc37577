"""One connection to an nsqd: streams, handshake, commands and frames."""
