"""One cluster for all tests of this folder; `make test-compose` runs them.

NSQ_TEST_IMAGE names an image to test, in place of one that is built from this tree.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from tests.compose.engine import Cluster, build_image, engine_trouble, run


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of an image of this tree."""
    if not os.environ.get("NSQ_TEST_COMPOSE"):
        pytest.skip("containers are started by make test-compose alone")
    if trouble := engine_trouble():
        pytest.skip(trouble)
    if given := os.environ.get("NSQ_TEST_IMAGE"):
        yield given
        return
    name = f"nsq-trio-test:{os.getpid()}"
    build_image(name, tmp_path_factory.mktemp("context"))
    yield name
    run("docker", "rmi", "--no-prune", name)


@pytest.fixture(scope="session")
def make_cluster(
    image: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[Cluster]]:
    """Makes clusters that are up and healthy: ``with make_cluster(NAME=value) as cluster``."""

    @contextmanager
    def make(*files: str, alone: bool = False, **settings: str) -> Iterator[Cluster]:
        project = f"nsq-test-{os.getpid()}-{secrets.token_hex(2)}"
        folder = tmp_path_factory.mktemp("clients")
        cluster = Cluster(
            project, image, folder, settings, files if alone else ("docker-compose.yml", *files)
        )
        try:
            cluster.up()
            yield cluster
        finally:
            cluster.down()
        assert not cluster.containers()

    return make


@pytest.fixture(scope="package")
def cluster(
    make_cluster: Callable[..., AbstractContextManager[Cluster]],
) -> Iterator[Cluster]:
    """The cluster of docker-compose.yml, whose nsqd drain at the first SIGTERM."""
    with make_cluster(NSQ_SIGTERM="drain") as cluster:
        yield cluster
