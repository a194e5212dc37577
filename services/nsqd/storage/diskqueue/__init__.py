"""The queue on disk of the original: its files, cursors, and how they are read after a crash."""
