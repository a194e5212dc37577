"""`nsqctl pub` and `nsqctl sub`: lines and files in, bodies and JSON out."""

import json
import subprocess

import pytest
from tests.e2e.daemons import BIN, wait_until
from tests.nsqctl.program import Pair, nsqctl

from nsqctl.__main__ import main

pytestmark = pytest.mark.slow


def test_lines_and_files_are_published_and_consumed(pair: Pair, tmp_path):
    main(["create", "notes", "all", pair.option])
    lines = tmp_path / "lines"
    lines.write_bytes(b"one\r\ntwo\n\nthree")
    whole = tmp_path / "whole"
    whole.write_bytes(b"a\nb")
    assert nsqctl("pub", "notes", str(lines), "--lines", pair.option)[0] == (
        "published 3 messages to notes\n"
    )
    assert nsqctl("pub", "notes", str(whole), "--rate=1000", pair.option)[0] == (
        "published 1 message to notes\n"
    )
    out, _ = nsqctl("sub", "notes", "all", "--count=4", pair.option)
    assert sorted(out.splitlines()) == ["a", "b", "one", "three", "two"]
    nsqctl("pub", "notes", str(whole), "--defer=0.1", pair.option)
    out, _ = nsqctl("sub", "notes", "all", "--count=1", "--json", pair.option)
    assert json.loads(out)["body"] == "a\nb"
    wait_until(
        lambda: all(n.channel("notes", "all").get("in_flight_count", 0) == 0 for n in pair.nsqds)
    )


def test_standard_input_is_published_as_it_comes(pair: Pair):
    main(["create", "notes", "all", pair.option])
    command = [BIN / "nsqctl", "pub", "notes", pair.option]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"first\n")
        process.stdin.flush()
        wait_until(
            lambda: sum(n.channel("notes", "all").get("depth", 0) for n in pair.nsqds) == 1,
            "the first line is there before the input has ended",
        )
        out, _ = process.communicate(b"second\n")
    assert out == b"published 2 messages to notes\n"
