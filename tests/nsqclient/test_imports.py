"""What ``import nsqclient`` offers, and what it does not load."""

import subprocess
import sys

import nsqclient


def test_every_name_that_is_offered_is_there():
    for name in nsqclient.__all__:
        assert getattr(nsqclient, name).__name__ == name
    assert set(nsqclient.__all__) <= set(dir(nsqclient))
    assert not hasattr(nsqclient, "open_everything")


def test_what_a_program_does_not_use_is_not_imported():
    script = """
import sys, nsqclient
print(sorted({"anyio", "asyncio", "ssl", "httpx", "trio"} & sys.modules.keys()))
nsqclient.open_producer
unused = {"asyncio", "httpx", "trio", "nsqclient.consuming.consumer"}
print(sorted(unused & sys.modules.keys()))
"""
    command = (sys.executable, "-c", script)
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n[]\n"
