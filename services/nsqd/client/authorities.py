"""Who says what clients may do: a file of this nsqd's own, then the auth servers."""

from collections.abc import Callable, Iterable

from attrs import define, evolve, field

from nsqd.client.acl import AclFile
from nsqd.client.auth import AuthQuestion, AuthRefused, AuthServers, AuthSettings
from nsqd.client.client import Client
from nsqd.client.permissions import Permissions


@define(eq=False)
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
        tls = client.tls
        question = AuthQuestion(
            client.secret or b"",
            client.host,
            client.name,
            tls is not None,
            tls.common_name if tls else "",
            tls.verified_names if tls else (),
        )
        try:
            client.permissions = await self.ask(question)
        except AuthRefused as error:
            client.auth_failure = str(error)

    def reload(self, clients: Iterable[Client]) -> None:
        """Read the file again, as SIGHUP asks; its word counts for those who are connected, too."""
        self.reloads += 1
        self.servers.reload()
        if self.acl is None or not self.acl.reload():
            return
        for client in clients:
            if client.permissions is not None:
                client.permissions = evolve(client.permissions, expires=0)


def open_authorities(settings: AuthSettings, now: Callable[[], int]) -> Authorities:
    """Those that ``settings`` name; ``now`` is the monotonic clock in ns. Raises BadAcl."""
    acl = None
    if settings.acl_file:
        acl = AclFile(settings.acl_file)
        acl.load()
    return Authorities(AuthServers(settings, now), acl)
