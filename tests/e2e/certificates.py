"""Certificates, credentials and ports for tests of closed doors."""

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme
from attrs import frozen
from tests.e2e.daemons import Daemon

from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token

TOKEN = "a-token"
# For daemons that ask others, on a machine with other work.
PATIENT = ["--http-client-connect-timeout=60s", "--http-client-request-timeout=60s"]
YESTERYEAR = datetime(2001, 1, 1, tzinfo=UTC)


@frozen
class Files:
    """Certificates of one authority, as files."""

    authority: trustme.CA
    folder: Path

    def make(
        self, name: str, *names: str, common_name: str | None = None, until: datetime | None = None
    ) -> None:
        """Write a certificate and its key, in place of what is there; good ``until`` then."""
        made = self.authority.issue_cert(*names, common_name=common_name, not_after=until)
        for suffix, blobs in (("key", [made.private_key_pem]), ("pem", made.cert_chain_pems)):
            path = self.folder / f"{name}.{suffix}"
            new = path.with_suffix(".new")
            new.write_bytes(b"".join(blob.bytes() for blob in blobs))
            new.replace(path)

    def flags(self, prefix: str, name: str) -> list[str]:
        """A certificate, its key and the authority as ``--{prefix}cert`` and so on."""
        return [
            f"--{prefix}cert={self.folder / name}.pem",
            f"--{prefix}key={self.folder / name}.key",
            f"--{prefix}root-ca-file={self.folder / 'ca.pem'}",
        ]

    def trust(self, name: str = "") -> ssl.SSLContext:
        """What a client trusts, and which certificate it shows."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if name:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


def make_files(folder: Path) -> Files:
    """Certificates of a daemon and of a client, a token, and an ``auth`` in which it may read."""
    found = Files(trustme.CA(), folder)
    found.authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    found.make("server", "localhost", "127.0.0.1")
    found.make("client", "nsqd.example", common_name="nsqd.example")
    (folder / "auth").write_text(entry("all", ("read",), hash_token(TOKEN), None))
    (folder / "token").write_text(TOKEN)
    return found


def port(daemon: Daemon, kind: str) -> int:
    """Where a daemon listens for ``TLS`` or ``HTTPS``."""
    found = re.search(rf" {kind}: listening on 127\.0\.0\.1:(\d+)", daemon.log())
    assert found, daemon.log()
    return int(found[1])
