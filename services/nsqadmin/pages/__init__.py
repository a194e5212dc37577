"""Pages: from a snapshot and a URL to HTML. No I/O."""
