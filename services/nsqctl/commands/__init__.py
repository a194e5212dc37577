"""Commands of nsqctl that are one module each."""
