"""Every endpoint of a router, asked with every kind of credential."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nsqcore.access.file import AuthFile
from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token
from nsqcore.http.guard import Guard
from nsqcore.http.router import Router
from nsqcore.http.session import HttpSession
from nsqcore.net.effects import Peer, Wait

OPEN, PUBLISH, READ, OPERATE, ADMIN = "open", "publish", "read", "operate", "admin"
ROLES = (PUBLISH, READ, OPERATE, ADMIN)
# Which roles do for what an endpoint needs.
ENOUGH = {
    PUBLISH: {PUBLISH, ADMIN},
    READ: {READ, OPERATE, ADMIN},
    OPERATE: {OPERATE, ADMIN},
    ADMIN: {ADMIN},
}
# What a request is about, and for which globs that is enough.
NO_TOPIC, ONE_TOPIC, TWO_TOPICS, ALL_TOPICS = "", "topic", "topic to", "*"


@frozen
class Expected:
    """What an endpoint has to ask for: a role, and for which topics."""

    role: str
    about: str = NO_TOPIC


@frozen
class Credential:
    """What is sent: a token or a certificate of ``role`` for topics like ``glob``."""

    role: str = ""
    glob: str = "*"
    certificate: bool = False
    unknown: bool = False

    @property
    def name(self) -> str:
        return f"{self.role}-{self.glob.strip('*') or 'all'}"


def credentials() -> Iterator[Credential]:
    yield Credential()
    yield Credential(unknown=True)
    for role, glob, certificate in itertools.product(ROLES, ("*", "mine*"), (False, True)):
        yield Credential(role, glob, certificate)


def make_guard(folder: Path, **settings: object) -> Guard:
    """A guard that knows all of `credentials`."""
    lines = set()
    for one in credentials():
        if one.role:
            hashed = f"cert:{one.name}" if one.certificate else hash_token(one.name)
            lines.add(entry(one.name, (one.role,), hashed, (one.glob,)))
    path = folder / "auth"
    path.write_text("\n".join(sorted(lines)))
    file = AuthFile(path)
    file.load()
    return Guard(realm="test", file=file, **settings)  # type: ignore[arg-type]


def ask(
    router: Router, method: str, target: str, credential: Credential, *headers: str
) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, headers and JSON of a refusal; 0 where the request was let in."""
    peer = Peer("127.0.0.1:9")
    lines = ["Host: 127.0.0.1", "Content-Length: 0", *headers]
    if credential.certificate:
        peer = Peer("127.0.0.1:9", names=lambda: (f"cn:{credential.name}",), encrypted=True)
    elif credential.role or credential.unknown:
        lines.append(f"Authorization: Bearer {credential.name if credential.role else 'nobody'}")
    session = HttpSession(router, peer)
    effect = session.received("\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode())
    sent = session.outbox.take()
    session.closed(None)
    if isinstance(effect, Wait):  # let in; what would be done is not
        answer: Any = effect.run
        answer.args[-1].close()
    head, _, body = sent.decode().partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    status = int(first.split()[1]) if first else 0
    if status not in (401, 403):
        return 0, {}, {}
    return status, dict(line.split(": ", 1) for line in rest), json.loads(body)


def is_enough(expected: Expected, credential: Credential, topics: Mapping[str, str]) -> int:
    """The status that a request is to be refused with; 0 where it is to be let in."""
    if expected.role == OPEN:
        return 0
    if not credential.role:
        return 401
    if credential.role not in ENOUGH[expected.role]:
        return 403
    if credential.glob == "*" or expected.about == NO_TOPIC:
        return 0
    if expected.about == ALL_TOPICS:
        return 403
    named = [topics.get(name, "") for name in expected.about.split()]
    return 0 if all(name.startswith("mine") for name in named) else 403


TOPICS = (
    {},
    {"topic": "mine-1"},
    {"topic": "other"},
    {"topic": "*"},
    {"topic": "mine*"},
    {"topic": "mine-1", "to": "mine-2"},
    {"topic": "mine-1", "to": "other"},
    {"topic": "other", "to": "mine-2"},
)


def check_endpoint(router: Router, method: str, path: str, expected: Expected) -> None:
    """Ask one endpoint with every credential, about every kind of topic."""
    for credential, topics in itertools.product(credentials(), TOPICS):
        query = "&".join(f"{name}={value}" for name, value in topics.items())
        target = path.replace(":opt", "log_level") + ("?" + query if query else "")
        status, headers, body = ask(router, method, target, credential)
        wanted = is_enough(expected, credential, topics)
        # "mine*" is no name of a topic, whatever it begins with
        if "*" in topics.get("topic", "") and wanted == 0 and credential.glob != "*":
            wanted = 403 if "topic" in expected.about else 0
        assert status == wanted, (method, target, credential)
        if status == 401:
            assert headers["WWW-Authenticate"].startswith('Bearer realm="test"')
        if status == 403 and credential.role not in ENOUGH[expected.role]:
            assert body["missing"] == f"role {expected.role}"
        elif status == 403:
            assert body["missing"].startswith(("topic ", "all topics"))
