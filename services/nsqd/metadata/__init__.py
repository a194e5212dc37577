"""The files that say which topics, channels and policies there are."""
