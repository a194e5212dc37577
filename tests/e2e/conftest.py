"""What tests of closed doors share."""

import pytest
import trustme
from tests.e2e.certificates import TOKEN, Files

from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token


@pytest.fixture
def files(tmp_path):
    found = Files(trustme.CA(), tmp_path)
    found.authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    found.make("server", "localhost", "127.0.0.1")
    found.make("client", "nsqd.example", common_name="nsqd.example")
    (tmp_path / "auth").write_text(entry("all", ("read",), hash_token(TOKEN), None))
    (tmp_path / "token").write_text(TOKEN)
    return found
