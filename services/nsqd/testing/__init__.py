"""nsqd for the tests of programs that use it: the real engine in the test's own process."""

from nsqd.testing.nsqd import Counts, Nsqd, open_nsqd
from nsqd.testing.stream import MemoryStream, stream_pair

__all__ = ["Counts", "MemoryStream", "Nsqd", "open_nsqd", "stream_pair"]
