"""What tests of closed doors share."""

import pytest
from tests.e2e.certificates import make_files


@pytest.fixture
def files(tmp_path):
    return make_files(tmp_path)
