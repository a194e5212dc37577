"""``nsqctl completion``: what a shell is to offer when Tab is pressed, made of the command line.

A *place* is the commands typed so far, such as ``policy set``. At each the shell offers what comes
next, commands and options, and behind an option those values that are known.
"""

import argparse
from collections.abc import Iterator
from shlex import quote

from nsqcore.classes import Factory, define


@define
class Place:
    """What may come next: words with what they mean, and the values of options."""

    words: dict[str, str] = Factory(dict)
    values: dict[str, list[str]] = Factory(dict)


async def completion(given: argparse.Namespace) -> int:
    """Print the script for ``given.shell``; the exit status."""
    places = dict(places_of(given.parser))
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[given.shell](places), end="")
    return 0


def places_of(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, Place]]:
    """Every place of a command line, by the commands that lead there."""
    place = Place()
    below: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:  # argparse has no other way to ask a parser what it knows
        choices = [str(choice) for choice in action.choices or ()]
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            place.words |= {name: helps.get(name, "") for name in action.choices}
            below += [(f"{path} {name}".strip(), sub) for name, sub in action.choices.items()]
        elif action.option_strings:
            option = action.option_strings[-1]
            place.words[option] = (action.help or "").replace("%%", "%")
            if choices:
                place.values[option] = choices
        else:
            place.words |= dict.fromkeys(choices, "")
    yield path, place
    for name, sub in below:
        yield from places_of(sub, name)


def _find(places: dict[str, Place], words: str) -> str:
    """Lines of bash and zsh that leave in ``place`` where the ``words`` lead."""
    known = " | ".join(quote(path) for path in places if path)
    return f"""    local place= word
    for word in {words}; do
        case "${{place:+$place }}$word" in
            {known}) place="${{place:+$place }}$word" ;;
        esac
    done
"""


def _cases(places: dict[str, Place]) -> str:
    """Lines of bash and zsh that leave in ``offers`` what may come behind ``previous``."""
    lines = ['    case "$place|$previous" in']
    for path, place in places.items():
        for option, values in place.values.items():
            lines.append(f"        {quote(f'{path}|{option}')}) offers='{' '.join(values)}' ;;")
    for path, place in places.items():
        lines.append(f"        {quote(path + '|')}*) offers='{' '.join(place.words)}' ;;")
    return "\n".join([*lines, "    esac", ""])


def _bash(places: dict[str, Place]) -> str:
    return f"""# nsqctl completion bash: source <(nsqctl completion bash)
_nsqctl() {{
    local offers= previous="${{COMP_WORDS[COMP_CWORD - 1]}}"
{_find(places, '"${COMP_WORDS[@]:1:COMP_CWORD-1}"')}{_cases(places)}\
    COMPREPLY=($(compgen -W "$offers" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _nsqctl nsqctl
"""


def _zsh(places: dict[str, Place]) -> str:
    return f"""#compdef nsqctl
# nsqctl completion zsh: source <(nsqctl completion zsh), behind compinit
_nsqctl() {{
    local offers= previous="${{words[CURRENT - 1]}}"
{_find(places, '"${(@)words[2,CURRENT-1]}"')}{_cases(places)}\
    compadd -- ${{=offers}} || _files
}}
compdef _nsqctl nsqctl
"""


def _fish(places: dict[str, Place]) -> str:
    known = " ".join(quote(path) for path in places if path)
    lines = [
        "# nsqctl completion fish: nsqctl completion fish | source",
        "function __nsqctl_place",
        "    set -l place",
        "    for word in (commandline -opc)[2..-1]",
        '        set -l next (string trim "$place $word")',
        f"        contains -- $next {known}; and set place $next",
        "    end",
        '    test "$place" = "$argv[1]"',
        "end",
    ]
    for path, place in places.items():
        at = quote(f"__nsqctl_place {quote(path)}")
        for word, help in place.words.items():
            about = f" -d {_fish_quote(help)}" if help else ""
            if word.startswith("--"):
                values = place.values.get(word)
                given = f" -xa {_fish_quote(' '.join(values))}" if values else ""
                lines.append(f"complete -c nsqctl -n {at} -l {word[2:]}{given}{about}")
            elif not word.startswith("-"):
                lines.append(f"complete -c nsqctl -n {at} -fa {word}{about}")
    return "\n".join([*lines, ""])


def _fish_quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
