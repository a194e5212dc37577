"""The connections of the reactor, from the first byte to the end."""
