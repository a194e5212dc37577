"""Who asks, and what they may do.

Without ``--auth-file`` the name is what the ACL header or Basic authentication say, and the role
follows from ``--admin-user``, as in the original. With it, only a session or Basic authentication
against the file count, and whoever has neither may do nothing.
"""

import base64
import binascii

from werkzeug.datastructures import Headers

from nsqadmin.auth.accounts import Role, RoleOnTopics
from nsqadmin.auth.peers import Peer
from nsqadmin.config.options import NsqadminOptions
from nsqcore.classes import frozen

# What an operator may do; whatever is not listed needs an admin.
_OPERATOR_ACTIONS = frozenset(
    ("pause", "unpause", "empty", "create", "publish", "finish", "requeue", "dead", "copy")
) | {"redrive", "set_policy"}


@frozen
class Principal:
    """Who sent a request. ``role`` is None for who has to log in first."""

    user: str
    role: Role | None
    address: str  # with its port where that is known
    scheme: str = "http"
    host: str = ""
    #: What they may do where; None: ``role``, everywhere. ``role`` is the highest of them.
    grants: tuple[RoleOnTopics, ...] | None = None

    def may(self, action: str, topic: str = "") -> bool:
        """Whether this user may do ``action``: ``pause``, ``delete``, ``read`` and so on.

        Args:
            topic: what it is done to; without one, it is about all topics.
        """
        return self.role is not None and any(
            grant.covers(topic) and grant.role >= _needed(action) for grant in self._grants
        )

    def may_somewhere(self, action: str) -> bool:
        """Whether there may be topics that this user may do ``action`` to."""
        return self.role is not None and any(
            grant.role >= _needed(action) for grant in self._grants
        )

    @property
    def _grants(self) -> tuple[RoleOnTopics, ...]:
        return self.grants or (RoleOnTopics(self.role or Role.VIEWER),)


def _needed(action: str) -> Role:
    if action == "read":
        return Role.VIEWER
    return Role.OPERATOR if action in _OPERATOR_ACTIONS else Role.ADMIN


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """Name and password of an ``Authorization: Basic`` header (RFC 7617)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    name, colon, password = decoded.partition(":")
    return (name, password) if colon else None


def header_principal(peer: Peer, headers: Headers, options: NsqadminOptions) -> Principal:
    """The principal without ``--auth-file``: named by the ACL header or Basic authentication."""
    named = headers.get(options.acl_http_header, "") if peer.trusted else ""
    credentials = basic_credentials(headers.get("Authorization", ""))
    user = named or (credentials[0] if credentials else "")
    # Nobody has checked the password of a Basic header here, so it names but never authorizes.
    admin = not options.admin_users or (bool(named) and named in options.admin_users)
    role = Role.ADMIN if admin else Role.VIEWER
    return Principal(user, role, peer.address, peer.scheme, peer.host)
