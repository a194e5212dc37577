"""`nsqctl completion`: what real shells offer."""

import shutil
import subprocess

import pytest

from nsqctl.__main__ import main

CASES = [
    ("nsqctl to", {"topics", "top", "token", "tombstone"}),
    ("nsqctl policy se", {"set"}),
    ("nsqctl messages orders --sta", {"--state"}),
    ("nsqctl messages orders --state in", {"in_flight"}),
    ("nsqctl completion z", {"zsh"}),
]

BASH = """
COMP_WORDS=({line}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_nsqctl; printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# Without a terminal zsh completes nothing: the function is called with what it is given there.
ZSH = """
words=({line}); CURRENT=$#words
compadd() {{ shift; print -l -- ${{(M)@:#$words[CURRENT]*}} }}
_nsqctl
"""


@pytest.fixture
def script(capsys):
    def of(shell: str) -> str:
        assert main(["completion", shell]) == 0
        return capsys.readouterr().out

    return of


def offered(shell: str, *options: str, text: str) -> list[set[str]]:
    """What is offered in each case, by a program of the shell that writes a line before each."""
    command = [shell, *options, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [set(part.split()) for part in done.stdout.split("==\n")[1:]]


def run(shell: str, script: str, ask: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    text = script + "".join(f"echo '=='\n{ask.format(line=line)}\n" for line, _ in CASES)
    assert offered(shell, text=text) == [words for _, words in CASES]


def test_bash_offers_commands_options_and_values(script):
    run("bash", script("bash"), BASH)


def test_zsh_offers_commands_options_and_values(script):
    run("zsh", "compdef() { }\n" + script("zsh"), ZSH)


def test_fish_offers_commands_options_and_values(script):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    ask = "".join(f"echo '=='\ncomplete -C '{line}' | cut -f1\n" for line, _ in CASES)
    done = offered("fish", "--no-config", text=script("fish") + ask)
    assert done == [words for _, words in CASES]
