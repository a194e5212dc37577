"""What the command line of nsqctl takes and refuses, and what it says of it."""

import argparse
import subprocess
import sys

import pytest
from tests.nsqctl.program import nsqctl

from nsqctl.shared.options import address, default_lookupds, positive

NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("localhost:4161", "localhost:4161"),
        ("http://localhost:4161/", "localhost:4161"),
        (" 127.0.0.1:4161 ", "127.0.0.1:4161"),
        ("[::1]:4161", "[::1]:4161"),
    ],
)
def test_an_address_may_be_given_as_a_url(text: str, meant: str):
    assert address(text) == meant


@pytest.mark.parametrize(
    "text", ["", "localhost", ":4161", "host:", "host:0", "host:65536", "host:http", "https://h:1"]
)
def test_what_is_no_address_is_refused(text: str):
    with pytest.raises(argparse.ArgumentTypeError):
        address(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf"])
def test_times_are_above_zero(text: str):
    with pytest.raises(argparse.ArgumentTypeError):
        positive(text)


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("", ["127.0.0.1:4161"]),
        (" , ", ["127.0.0.1:4161"]),
        ("a:1, http://b:2", ["a:1", "b:2"]),
    ],
)
def test_the_environment_names_nsqlookupds(
    monkeypatch: pytest.MonkeyPatch, named: str, meant: list[str]
):
    monkeypatch.setenv("NSQCTL_LOOKUPD_HTTP_ADDRESS", named)
    assert default_lookupds() == meant


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "required"),
        (["topics", "--nsqd-http-address=localhost"], "missing port"),
        (
            ["topics", f"--nsqd-http-address={NOBODY}", f"--lookupd-http-address={NOBODY}"],
            "not allo",
        ),
        (["topics", "--timeout=0"], "must be above 0"),
        (["bench", "--batch=0"], "must be above 0"),
        (["bench", "--size=7"], "at least 8"),
        (["top", "--sort=x"], "invalid choice"),
    ],
)
def test_a_wrong_command_line_is_explained_and_ends_with_2(arguments: list[str], told: str):
    assert told in nsqctl(*arguments, status=2)[1]


@pytest.mark.slow
def test_a_wrong_environment_is_explained_and_ends_with_2(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NSQCTL_LOOKUPD_HTTP_ADDRESS", "nowhere")
    err = nsqctl("topics", status=2)[1]
    assert "NSQCTL_LOOKUPD_HTTP_ADDRESS: address nowhere: missing port" in err


@pytest.mark.slow
@pytest.mark.parametrize("command", ["topics", "nodes", "stats x", "pause x", "bench"])
def test_who_does_not_answer_is_named_in_a_line(command: str):
    option = f"--{'nsqd' if command == 'bench' else 'lookupd'}-http-address={NOBODY}"
    err = nsqctl(*command.split(), option, status=1)[1]
    assert NOBODY in err
    assert len([line for line in err.splitlines() if line.startswith("nsqctl: ")]) >= 1


@pytest.mark.slow
def test_help_and_mistakes_do_not_wait_for_what_only_commands_need():
    code = "import sys, nsqctl.__main__ as m; m.make_parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert not {b"trio", b"httpx", b"rich"} & set(loaded.split())
