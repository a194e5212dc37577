"""The examples of the documentation run, and the documentation shows what runs."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.support.forks import run_script

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = sorted((DOCS / "examples").rglob("*.py"))
PAGES = [DOCS / "client.md", DOCS / "coming-from-pynsq.md"]

SAYS = {
    "asyncio_app.py": "total 45",
    "batches.py": "inserted 100 rows\ninserted 100 rows\ninserted 50 rows",
    "consume.py": "attempt 1",
    "dead_letter.py": "buried: poison",
    "discover.py": "found 1 nsqd",
    "errors.py": "published\nrefused: E_BAD_MESSAGE\nlost, sent: False",
    "hooks.py": 'orders_answered_total{state="finished"} 1.0',
    "http_api.py": "billing\n[True]",
    "patterns.py": "['order_eu', 'order_us']",
    "publish.py": "published 4 messages",
    "measured.py": 'nsqclient_answered_total{state="finished",topic="orders"} 1.0',
    "run.py": "handled order 5\nstopped",
    "script.py": "one",
    "service.py": "handled one\nwell: True",
    "secure.py": "True True",
    "traces.py": "handled in",
    "typed.py": "order 1 coffee",
    "memory_nsqd.py": "an hour later",
}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(example: Path, daemon: Callable[..., Daemon]) -> None:
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    wait_until(lambda: lookupd.get("/nodes")["producers"], "nsqd is registered")
    addresses = {"NSQD": nsqd.tcp, "NSQD_HTTP": nsqd.http, "LOOKUPD": lookupd.http}
    status, told, errors = run_script(example, {**os.environ, **addresses}, PATIENCE * 2)
    assert status == 0, errors
    assert SAYS[example.name] in told


HANDLED_TWICE = """
def print(body, seen=[]):
    seen.append(body)
    if len(seen) == 1:
        raise ValueError("a bad message")
    raise SystemExit(len(seen))


"""


@pytest.mark.slow
def test_consumer_of_the_readme_goes_on_after_a_bad_message(
    daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    (program,) = re.findall(
        r"```python\n(.*?)```", (DOCS.parent / "README.md").read_text(), re.DOTALL
    )
    assert "print(message.body)" in program
    for theirs, ours in (("127.0.0.1:4150", nsqd.tcp), ("127.0.0.1:4161", lookupd.http)):
        assert theirs in program
        program = program.replace(theirs, ours)
    path = tmp_path / "readme.py"
    path.write_text(HANDLED_TWICE + program)
    status, _, errors = run_script(path, dict(os.environ), PATIENCE * 2)
    assert status == 2, errors


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_python_on_the_page_is_from_an_example(page: Path) -> None:
    examples = [example.read_text() for example in EXAMPLES]
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        assert any(block in example for example in examples), block


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_of_the_page_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link
