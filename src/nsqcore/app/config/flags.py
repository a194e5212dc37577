"""Command lines in the manner of Go's flag package: arguments in, (flag, text) pairs out.

``-name`` and ``--name`` are the same; a value follows ``=`` or is the next argument, but a switch
takes its value only behind ``=``; the first argument that is no flag, or ``--``, ends the flags.
Knows nothing of what the flags mean: `nsqcore.app.config.options` does.
"""

from collections.abc import Iterable, Mapping, Sequence

from nsqcore.classes import frozen

# How much two names have to be alike, of 1, for one to be taken for the other misspelt.
CLOSE = 0.75


class FlagError(ValueError):
    """The command line breaks the rules; the text names the argument."""


@frozen
class ParsedFlags:
    """A command line: ``given`` in the order of the arguments, ``rest`` behind the flags."""

    given: list[tuple[str, str]]
    rest: list[str]


def parse_flags(arguments: Sequence[str], known: Mapping[str, str | None]) -> ParsedFlags:
    """The flags and the positional arguments of a command line.

    Args:
        known: each flag's name, with the text that the flag stands for when it has no value, or
            None if it needs one.

    Raises:
        FlagError: an unknown flag, a flag without its value, or an argument like ``---x`` or
            ``-=x``.
    """
    given: list[tuple[str, str]] = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        if len(argument) < 2 or argument[0] != "-":
            break
        position += 1
        if argument == "--":
            break
        name, equals, value = _split(argument)
        if name not in known:
            close = suggestion(name, known)
            hint = f" (did you mean -{close}?)" if close else ""
            raise FlagError(f"unknown flag -{name}{hint}")
        bare = known[name]
        if not equals:
            if bare is not None:
                value = bare
            elif position < len(arguments):
                value = arguments[position]
                position += 1
            else:
                raise FlagError(f"flag -{name} needs a value")
        given.append((name, value))
    return ParsedFlags(given, list(arguments[position:]))


def _split(argument: str) -> tuple[str, str, str]:
    body = argument[2:] if argument.startswith("--") else argument[1:]
    name, equals, value = body.partition("=")
    if not name or name.startswith("-"):
        raise FlagError(f"malformed flag {argument}")
    return name, equals, value


def suggestion(name: str, known: Iterable[str]) -> str:
    """Which of the ``known`` names is probably meant by ``name``; empty if none is like it."""
    # difflib is slow to import, and needed only by those who mistyped.
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1, cutoff=CLOSE)
    return close[0] if close else ""
