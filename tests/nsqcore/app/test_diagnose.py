"""What runs inside a process, as text."""

import pytest
import trio

from nsqcore.app import diagnose


async def wait_here():
    await trio.sleep_forever()


async def test_tasks_are_shown_under_their_parents_with_where_they_wait(nursery):
    nursery.start_soon(wait_here)
    await trio.testing.wait_all_tasks_blocked()
    text = diagnose.tasks()
    assert "wait_here" in text
    assert f"{__file__}:" in text


def test_threads_are_shown_with_their_stacks():
    assert "MainThread" in diagnose.threads()
    assert __file__ in diagnose.threads()


def test_the_heap_is_counted_by_type():
    assert " function\n" in diagnose.heap()


def test_the_command_line_is_separated_by_nul():
    program, *arguments = diagnose.cmdline().split("\0")
    assert "python" in program
    assert arguments


def test_the_command_line_has_no_password_of_a_url(monkeypatch):
    monkeypatch.setattr("sys.orig_argv", ["nsqd", "--auth-http-address=http://u:pw@h/?token=t"])
    assert diagnose.cmdline() == "nsqd\0--auth-http-address=http://***@h/?token=***"


async def test_a_profile_shows_what_was_called(nursery):
    async def work():
        while True:
            sorted(range(10_000, 0, -1))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(work)
    if __import__("sys").getprofile() is not None:
        pytest.skip("another profiler is running")
    # on a busy machine the work may not have its turn in the first ones
    profiles = [await diagnose.profile(seconds) for seconds in (0.01, 0.1, 1.0)]
    assert "built-in method builtins.sorted" in "".join(profiles)
    nursery.cancel_scope.cancel()
