"""Globs of names: ``*`` stands for any characters, ``?`` for one."""


def matches(glob: str, name: str) -> bool:
    """Whether ``glob`` matches the whole of ``name``."""
    return overlap(glob, name)  # names have no * or ?


def overlap(one: str, other: str) -> bool:
    """Whether any text is matched by both globs; takes the product of their lengths."""
    # ends: which beginnings of `other` may match the same text as the part of `one` read so far
    ends = {0}
    _skip_stars(ends, other)
    for letter in one:
        if letter == "*":
            ends = set(range(min(ends), len(other) + 1))
        else:
            reached = {end for end in ends if end < len(other) and other[end] == "*"}
            reached |= {
                end + 1
                for end in ends
                if end < len(other) and (letter == "?" or other[end] in ("?", letter))
            }
            ends = reached
            _skip_stars(ends, other)
        if not ends:
            return False
    return len(other) in ends


def _skip_stars(ends: set[int], glob: str) -> None:
    """Add where one gets by letting stars stand for nothing."""
    for end in sorted(ends):
        while end < len(glob) and glob[end] == "*":
            end += 1
            ends.add(end)
