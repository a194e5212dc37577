"""CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of everything durable."""

from collections.abc import Callable, Iterator

from nsqd.storage.durable.format import hot

#: The checksum of some bytes.
crc32c: Callable[[bytes], int] = hot.crc32c
#: The checksum of what has checksum ``crc`` (first argument), with more bytes behind it.
extend_crc32c: Callable[[int, bytes], int] = hot.extend_crc32c


def one_bit_off(data: bytes) -> Iterator[bytes]:
    """``data`` with each of its bits flipped in turn.

    A CRC-32C tells any single flipped bit of a short header from every other (its Hamming distance
    is 6 up to 5243 bits: Koopman, "32-bit cyclic redundancy codes for internet applications",
    2002), so the one of these whose checksum is right is what was written.
    """
    flipped = bytearray(data)
    for bit in range(8 * len(data)):
        flipped[bit >> 3] ^= 1 << (bit & 7)
        yield bytes(flipped)
        flipped[bit >> 3] ^= 1 << (bit & 7)


__all__ = ["crc32c", "extend_crc32c", "one_bit_off"]
