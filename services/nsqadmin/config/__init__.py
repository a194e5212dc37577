"""The options of nsqadmin."""
