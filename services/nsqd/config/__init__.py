"""What the options say, and what of it can be changed while nsqd runs."""
