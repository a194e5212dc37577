"""The JSON API, and what those who run nsqadmin ask."""
