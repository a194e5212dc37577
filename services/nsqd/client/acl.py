"""``--auth-acl-file``: what clients may do, in a file instead of at an auth server.

The file is JSON: ``{"clients": [{"identity": "billing", "secret": "sha256:…",
"authorizations": […]}]}``. Authorizations are those of an auth server's answer. A client is known
by the hash of its secret, by a name in its verified certificate (``common_name``, or with its kind
``certificate``: ``dns:app.example``), or by both.
"""

import logging
from typing import Any

from nsqcore.access.lines import certificate_name
from nsqcore.access.tokens import hash_token, is_token_hash
from nsqcore.app.config.options import OptionsError
from nsqcore.classes import define, field
from nsqcore.json import JsonError, decode
from nsqd.client.auth import AuthQuestion
from nsqd.client.permissions import BadPermissions, Permissions, parse_authorizations

logger = logging.getLogger(__name__)

_KEYS = {"identity", "identity_url", "secret", "common_name", "certificate", "authorizations"}
# Monotonic ns: what a file says holds until it says otherwise.
NEVER = 2**63 - 1


class BadAcl(OptionsError):
    """The file is not what it should be."""


#: The hash of a secret and the name of a certificate, either of which may be empty.
Proof = tuple[str, str]


def parse_acl(content: bytes, source: str) -> dict[Proof, Permissions]:
    """Who may do what. Raises BadAcl."""
    try:
        raw = decode(content)
    except JsonError as error:
        raise BadAcl(f"{source}: not JSON: {error}") from None
    clients = raw.get("clients") if isinstance(raw, dict) and len(raw) == 1 else None
    if not isinstance(clients, list):
        raise BadAcl(f'{source}: expected {{"clients": […]}}')
    found: dict[Proof, Permissions] = {}
    for number, item in enumerate(clients, 1):
        try:
            proof, permissions = _parse_client(item)
            if proof in found:
                raise ValueError("the same secret and certificate are there twice")
        except (ValueError, BadPermissions) as error:
            raise BadAcl(f"{source}, client {number}: {error}") from None
        found[proof] = permissions
    return found


def _parse_client(item: Any) -> tuple[Proof, Permissions]:
    if not isinstance(item, dict):
        raise ValueError("not a JSON object")
    if unknown := sorted(item.keys() - _KEYS):
        raise ValueError(f"unknown key {unknown[0]!r:.80}")
    texts = {}
    for key in _KEYS - {"authorizations"}:
        texts[key] = item.get(key, "")
        if not isinstance(texts[key], str):
            raise ValueError(f"{key} is not a text")
    secret, name = texts["secret"], texts["certificate"]
    if common_name := texts["common_name"]:
        if name:
            raise ValueError("both common_name and certificate")
        name = f"cn:{common_name}"
    if not secret and not name:
        raise ValueError("neither secret nor common_name nor certificate")
    if name:
        name = certificate_name(name)
    if secret and not is_token_hash(secret):
        raise ValueError("secret: expected sha256: and the hash of it, as nsqctl token prints it")
    return (secret, name), Permissions(
        parse_authorizations(item.get("authorizations")),
        texts["identity"],
        texts["identity_url"],
        NEVER,
    )


@define
class AclFile:
    """The file at ``path``."""

    path: str
    _clients: dict[Proof, Permissions] = field(factory=dict, init=False, repr=False)

    def find(self, question: AuthQuestion) -> Permissions | None:
        """What the file allows who asks; None for somebody whom it does not know."""
        secret, clients = hash_token(question.secret), self._clients
        for name in question.verified_names:
            found = clients.get((secret, name)) or clients.get(("", name))
            if found is not None:
                return found
        return clients.get((secret, ""))

    def load(self) -> None:
        """Read the file; if that fails all stays as it was. Raises BadAcl."""
        try:
            with open(self.path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise BadAcl(f"--auth-acl-file {self.path}: {error.strerror or error}") from None
        self._clients = parse_acl(content, f"--auth-acl-file {self.path}")

    def reload(self) -> bool:
        """Read the file again; whether that went well. If not, all stays as it was."""
        try:
            self.load()
        except BadAcl as error:
            logger.error("ACCESS: keeping the permissions in force - %s", error)
            return False
        logger.info("ACCESS: %d clients read from %s", len(self._clients), self.path)
        return True
