"""The compressions a connection may be upgraded to: deflate and snappy, as streams of bytes."""
