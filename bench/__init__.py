"""Measures nsqd-compatible programs; see README.md in this folder."""
