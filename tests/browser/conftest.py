"""A cluster and a browser for the tests of this folder; skipped where no browser is installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from tests.browser.browser import installed, open_browser
from tests.browser.eyes import Eyes
from tests.browser.stage import AdminProcess, Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    skip = pytest.mark.skip(reason="no chromium with chromedriver is installed")
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)
            if installed() is None:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A cluster with traffic."""
    with Stage(tmp_path_factory.mktemp("stage"), nodes=2) as running:
        running.populate()
        yield running


@pytest.fixture(scope="session")
def admin(stage: Stage) -> AdminProcess:
    """An nsqadmin of the cluster, by nsqlookupd."""
    return stage.admin()


@pytest.fixture(autouse=True)
def passing_admins(stage: Stage, admin: AdminProcess) -> Iterator[None]:
    """What nsqadmins a test starts end with it: each asks the cluster all the time."""
    first = stage.admins.index(admin) + 1
    yield
    for passing in stage.admins[first:]:
        passing.stop()
    del stage.admins[first:]


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    """One browser for all tests."""
    with open_browser() as running:
        yield running


@pytest.fixture
def eyes(driver: webdriver.Chrome, admin: AdminProcess) -> Iterator[Eyes]:
    """The browser, looking at the nsqadmin; afterwards its console has to be clean."""
    looking = Eyes(driver, admin.url)
    looking.reset()
    yield looking
    assert looking.complaints() == []
