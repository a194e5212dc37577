"""One cluster for all tests of this folder; `make test-compose` runs them.

NSQ_TEST_IMAGE names an image to test, in place of one that is built from this tree.
"""

import os
from collections.abc import Iterator

import pytest
from tests.compose.engine import Cluster, build_image, compose_command, engine_trouble, run


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of docker-compose.yml, up and healthy, from an image of this tree."""
    if not os.environ.get("NSQ_TEST_COMPOSE"):
        pytest.skip("containers are started by make test-compose alone")
    if trouble := engine_trouble():
        pytest.skip(trouble)
    project = f"nsq-test-{os.getpid()}"
    given = os.environ.get("NSQ_TEST_IMAGE", "")
    image = given or f"nsq-trio-test:{project}"
    if not given:
        build_image(image, tmp_path_factory.mktemp("context"))
    print(f"cluster({project}): {' '.join(compose_command())}")
    cluster = Cluster(project, image, tmp_path_factory.mktemp("clients"), {"NSQ_SIGTERM": "drain"})
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
        if not given:
            run("docker", "rmi", "--no-prune", image)
    assert not cluster.containers()
