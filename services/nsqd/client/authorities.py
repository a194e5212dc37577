"""Who says what clients may do: a file of this nsqd's own, then the auth servers."""

from collections.abc import Callable, Iterable

from attrs import evolve

from nsqcore.classes import define, field
from nsqd.client.acl import NEVER, AclFile
from nsqd.client.auth import AuthQuestion, AuthRefused, AuthServers, AuthSettings
from nsqd.client.client import Client
from nsqd.client.permissions import SUBSCRIBE, Permissions


@define(eq=False, repr=False)
class Authorities:
    """``acl`` is asked first; ``servers`` are where there is none, or it knows nothing."""

    servers: AuthServers
    acl: AclFile | None = None
    reloads: int = field(default=0, init=False)

    @property
    def are_there(self) -> bool:
        """Whether anybody can be asked."""
        return self.acl is not None or bool(self.servers.settings.addresses)

    def known(self, question: AuthQuestion) -> Permissions | None:
        """What the file allows, which nobody has to wait for."""
        return None if self.acl is None else self.acl.find(question)

    async def ask(self, question: AuthQuestion) -> Permissions:
        """What is allowed. Raises AuthRefused."""
        found = self.known(question)
        if found is not None:
            return found
        if not self.servers.settings.addresses:
            raise AuthRefused("the secret is not known", answered=True)
        return await self.servers.permissions(question)

    async def authorize(self, client: Client) -> None:
        """Get ``client`` its permissions, or the reason why it has none."""
        client.permissions, client.auth_failure = None, ""
        try:
            client.permissions = await self.ask(_question(client))
        except AuthRefused as error:
            client.auth_failure = str(error)

    def reload(self, clients: Iterable[Client]) -> None:
        """Read the file again, as SIGHUP asks; its word counts for those who are connected, too.

        Who was let in by it and consumes what it does not allow any more has to go. Consumers that
        auth servers let in stay, as with the original.
        """
        self.reloads += 1
        self.servers.reload()
        if self.acl is None or not self.acl.reload():
            return
        for client in clients:
            if client.permissions is None:
                continue
            by_file = client.permissions.expires == NEVER
            client.permissions = evolve(client.permissions, expires=0)
            found = self.acl.find(_question(client)) if by_file else None
            if found is not None:
                client.permissions = found
            if by_file and not _may_go_on(client, found):
                client.outbox.close("it may not consume that any more")


def _question(client: Client) -> AuthQuestion:
    tls = client.tls
    return AuthQuestion(
        client.secret or b"",
        client.host,
        client.name,
        tls is not None,
        tls.common_name if tls else "",
        tls.verified_names if tls else (),
    )


def _may_go_on(client: Client, permissions: Permissions | None) -> bool:
    """Whether ``permissions`` cover what the client consumes, if it does."""
    channel = client.channel
    if channel is None:
        return True
    named = channel.topic, channel.name
    return permissions is not None and permissions.allow(*named, SUBSCRIBE)


def open_authorities(settings: AuthSettings, now: Callable[[], int]) -> Authorities:
    """Those that ``settings`` name; ``now`` is the monotonic clock in ns. Raises BadAcl."""
    acl = None
    if settings.acl_file:
        acl = AclFile(settings.acl_file)
        acl.load()
    return Authorities(AuthServers(settings, now), acl)
