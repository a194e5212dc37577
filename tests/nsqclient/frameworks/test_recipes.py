"""The recipes of docs/frameworks.md run, and the page shows what runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.daemons import PATIENCE

DOCS = Path(__file__).parents[3] / "docs"
RECIPES = DOCS / "recipes"

FASTAPI = """
import fastapi_app
from starlette.testclient import TestClient
with TestClient(fastapi_app.app) as client:
    answers = [client.post("/orders", content=body) for body in (b"coffee", b"")]
    answers.append(client.get("/health"))
for answer in answers:  # now that nobody else prints
    print(answer.status_code)
"""

DJANGO = """
import django_app
from django.test import Client
client = Client()
for body in (b"coffee", b""):
    print(client.post("/orders", body, content_type="text/plain").status_code)
"""


def run(*command: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=RECIPES,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_fastapi_publishes_and_consumes(daemon) -> None:
    nsqd = daemon("nsqd")
    nsqd.create("orders", "billing")
    out = run("-c", FASTAPI, NSQD=nsqd.tcp)
    assert [line for line in out.splitlines() if line.isdigit()] == ["202", "422", "200"]


@pytest.mark.slow
def test_django_publishes(daemon) -> None:
    nsqd = daemon("nsqd")
    nsqd.create("orders", "billing")
    assert run("-c", DJANGO, NSQD=nsqd.tcp) == "202\n422\n"
    assert nsqd.channel("orders", "billing")["depth"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "options", "passed"),
    [
        ("trio", ("-o", "trio_mode=true", "-p", "no:anyio", "-p", "no:asyncio"), 1),
        ("anyio", ("-p", "no:trio", "-p", "no:asyncio"), 2),
        ("asyncio", ("-p", "no:trio", "-o", "asyncio_default_fixture_loop_scope=function"), 1),
    ],
)
def test_fixtures_of_each_kind_work(recipe, options, passed) -> None:
    plain = ("-c", os.devnull, "--rootdir=.", "-p", "no:cacheprovider", "-q")
    out = run("-m", "pytest", *plain, *options, f"test_with_{recipe}.py")
    assert f"{passed} passed" in out


def test_python_on_the_page_is_from_a_recipe_or_a_docstring() -> None:
    sources = [path.read_text() for path in RECIPES.glob("*.py")]
    page = (DOCS / "frameworks.md").read_text()
    later = page[page.index("## FastAPI") :]
    blocks = re.findall(r"```python\n(.*?)```", later, re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        assert any(block in source for source in sources), block
