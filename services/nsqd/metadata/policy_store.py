"""Policies on disk: ``nsqd.policies.json`` beside the queues, and the operator's ``--policy-file``.

Both hold what ``GET /policy/list`` answers: ``{"policies": [...]}``. The first has what was set
over HTTP, and is replaced whole before a change is in force. The second is only read: at the start,
and again at SIGHUP.
"""

import json
import logging
import os
from functools import partial
from typing import Any

import trio

from nsqcore.app import threads
from nsqcore.classes import define, field
from nsqcore.errors import NsqError
from nsqcore.json import JsonError, decode
from nsqd.policies.errors import AmbiguousPolicy, InvalidPolicy
from nsqd.policies.policies import Policies
from nsqd.policies.policy import Policy, parse_policy
from nsqd.storage.files.atomic import sync_directory, write_temporary

logger = logging.getLogger(__name__)

FILE_NAME = "nsqd.policies.json"
# What `PolicyStore.unsynced` rules out.
SYNCED = ("interval", "always")
_FIELDS = ("name", "source")  # beside those of a policy; the second is of the list alone


class BadPolicyFile(NsqError):
    """A file of policies cannot be read, or is none; the text names it."""


@define(eq=False, repr=False)
class PolicyStore:
    """The policies of the nsqd whose queues are in ``directory``; ``file`` is ``--policy-file``.

    ``unsynced`` says why no policy may promise a sync there; empty where it may.
    """

    policies: Policies
    directory: str
    file: str = ""
    unsynced: str = ""
    _lock: trio.Lock = field(factory=trio.Lock, init=False)

    def load(self) -> None:
        """Read both files. Raises BadPolicyFile."""
        path = os.path.join(self.directory, FILE_NAME)
        if os.path.exists(path):
            for policy in self._read(path):
                self._put(path, partial(self._add, policy))
        if self.file:
            self._put(self.file, partial(self.policies.set_file, self._read(self.file)))

    def reload(self) -> None:
        """Read ``--policy-file`` again; one that is wrong is logged, and the policies stay."""
        if not self.file:
            return
        try:
            self._put(self.file, partial(self.policies.set_file, self._read(self.file)))
        except BadPolicyFile as error:
            logger.error("POLICY: %s", error)
        else:
            logger.info("POLICY: %s: %d policies", self.file, len(self.policies.of_file))

    async def set(self, name: str, raw: object) -> None:
        """Define the policy ``name``; returns when it would outlive a crash.

        Raises:
            InvalidPolicy, AmbiguousPolicy: it is refused.
            OSError: the disk would not take it; nothing has changed.
        """
        async with self._lock:
            policy = self._check(name, raw)
            await self._keep(self.policies.with_policy(policy))
        logger.info("POLICY(%s): set for %s", name, policy.pattern)

    async def delete(self, name: str) -> None:
        """Remove the policy ``name``; returns when that would outlive a crash.

        Raises:
            InvalidPolicy: it is one of ``--policy-file``.
            UnknownPolicy: there is none.
            OSError: the disk would not take it; nothing has changed.
        """
        async with self._lock:
            await self._keep(self.policies.without(name))
        logger.info("POLICY(%s): deleted", name)

    def to_json(self) -> dict[str, Any]:
        """All policies, with where each comes from."""
        of_file = self.policies.of_file
        return {
            "policies": [
                {**policy.to_json(), "source": "file" if policy.name in of_file else "http"}
                for policy in self.policies.all()
            ]
        }

    async def _keep(self, own: dict[str, Policy]) -> None:
        listed = [own[name].to_json() for name in sorted(own)]
        content = json.dumps({"policies": listed}, indent=1).encode() + b"\n"
        await threads.run_sync(self._write, content, lane="disk")
        self.policies.set_own(own)

    def _write(self, content: bytes) -> None:
        path = os.path.join(self.directory, FILE_NAME)
        os.replace(write_temporary(path, content, suffix="new", sync=True), path)
        sync_directory(self.directory)

    def _add(self, policy: Policy) -> None:
        if policy.name in self.policies.own:
            raise InvalidPolicy(f"{policy.name} is defined twice")
        self.policies.set_own(self.policies.with_policy(policy))

    def _read(self, path: str) -> list[Policy]:
        """The policies in a file. Raises BadPolicyFile."""
        try:
            with open(path, "rb") as file:
                content = decode(file.read())
            listed = content.get("policies") if isinstance(content, dict) else None
            if not isinstance(listed, list):
                raise InvalidPolicy('expected {"policies": [...]}')
            return [self._parse(item) for item in listed]
        except OSError as error:
            reason = error.strerror or str(error)
        except (JsonError, InvalidPolicy) as error:
            reason = str(error)
        raise BadPolicyFile(f"policies in {path}: {reason}")

    def _parse(self, item: object) -> Policy:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(name, str):
            raise InvalidPolicy("expected objects with a name")
        raw = {key: value for key, value in item.items() if key not in _FIELDS}
        try:
            return self._check(name, raw)
        except InvalidPolicy as error:
            raise InvalidPolicy(f"{name[:64]}: {error}") from None

    def _check(self, name: str, raw: object) -> Policy:
        """The policy that ``raw`` describes. Raises InvalidPolicy."""
        policy = parse_policy(name, raw, supported=self.policies.supported)
        durability = policy.values.get("durability")
        if self.unsynced and durability in SYNCED:
            raise InvalidPolicy(f"durability: no {durability} here: {self.unsynced}")
        return policy

    def _put(self, path: str, change: partial[None]) -> None:
        try:
            change()
        except (InvalidPolicy, AmbiguousPolicy) as error:
            reason = str(error)
        else:
            return
        raise BadPolicyFile(f"policies in {path}: {reason}")
