"""Changes at many daemons at once: create, delete, empty, pause, tombstone.

An action goes to every nsqlookupd, or every nsqd, that it concerns. Whoever fails is named in what
is returned, and the others have done it; `AllFailed` is raised where nobody could be asked who is
concerned.
"""

from collections.abc import Sequence
from http import HTTPStatus

from nsqcore.classes import frozen
from nsqcore.cluster.lookupd import lookupd_nodes, lookupd_topic_producers, lookupd_topics
from nsqcore.cluster.nsqd import nsqd_nodes, nsqd_stats, nsqd_topics
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.upstream import AllFailed, Answer, Upstream, UpstreamError, ask_all

Failures = tuple[UpstreamError, ...]


@frozen
class Cluster:
    """The daemons of one cluster: nsqlookupds that know its nsqds, or the nsqds themselves."""

    upstream: Upstream
    lookupds: tuple[str, ...] = ()
    nsqds: tuple[str, ...] = ()

    async def topics(self) -> Answer[list[str]]:
        """The names of all topics, sorted."""
        if self.lookupds:
            return await lookupd_topics(self.upstream, self.lookupds)
        return await nsqd_topics(self.upstream, self.nsqds)

    async def nodes(self) -> Answer[list[Producer]]:
        """All nsqd."""
        if self.lookupds:
            return await lookupd_nodes(self.upstream, self.lookupds)
        return await nsqd_nodes(self.upstream, self.nsqds)

    async def producers(self, topic: str) -> Answer[list[Producer]]:
        """The nsqd that have ``topic``."""
        if self.lookupds:
            return await lookupd_topic_producers(self.upstream, self.lookupds, topic)
        return await nsqd_nodes(self.upstream, self.nsqds, topic)

    async def create(self, topic: str, channel: str = "") -> Failures:
        """Make a topic known, and a channel of it, which its nsqds then get at once.

        Without nsqlookupds there is nobody to remember a topic but the nsqds: it is created on all
        of them.
        """
        if not self.lookupds:
            return await self._create_on_nsqds(topic, channel)
        failures = await self._post(self.lookupds, "/topic/create", {"topic": topic})
        if not channel:
            return failures
        params = {"topic": topic, "channel": channel}
        failures += await self._post(self.lookupds, "/channel/create", params)
        answer = await self.producers(topic)
        failures += answer.failures
        return failures + await self._post(_addresses(answer.value), "/channel/create", params)

    async def _create_on_nsqds(self, topic: str, channel: str) -> Failures:
        failures = await self._post(self.nsqds, "/topic/create", {"topic": topic})
        if len(failures) == len(self.nsqds):
            raise AllFailed("nsqd", failures)
        if channel:
            params = {"topic": topic, "channel": channel}
            failures += await self._post(self.nsqds, "/channel/create", params)
        return failures

    async def delete(self, topic: str, channel: str = "") -> Failures:
        """Remove a topic with all its channels, or one channel, everywhere."""
        what, params = _target(topic, channel)
        answer = await self.producers(topic)  # before the nsqlookupds forget them
        concerned, silent = await self._having(answer.value, topic, channel)
        path = f"/{what}/delete"
        failures = await self._post(self.lookupds, path, params)
        failures += await self._post(concerned, path, params)
        if len(failures) < len(self.lookupds) + len(concerned):
            # Who never had it has not failed, if another had it.
            failures = tuple(one for one in failures if one.status != HTTPStatus.NOT_FOUND)
        return answer.failures + silent + failures

    async def act(
        self, action: str, topic: str, channel: str = "", *, node: str | None = None
    ) -> Failures:
        """Pause, unpause or empty a topic or channel, on the nsqds that have it or on one.

        Args:
            node: the HTTP address of the one nsqd.

        Raises:
            AllFailed: also if ``node`` does not have the topic: other addresses are never
                contacted.
        """
        what, params = _target(topic, channel)
        answer = await self.producers(topic)
        silent: Failures = ()
        if node is None:
            addresses, silent = await self._having(answer.value, topic, channel)
        elif node in _addresses(answer.value):
            addresses = [node]
        else:
            raise AllFailed("nsqd", [UpstreamError(node, f"{node} does not have this topic")])
        failures = await self._post(addresses, f"/{what}/{action}", params)
        return answer.failures + silent + failures

    async def _having(
        self, producers: Sequence[Producer], topic: str, channel: str
    ) -> tuple[list[str], Failures]:
        """The addresses of those of ``producers`` that have the channel, and who did not say.

        A channel is made where a consumer asks for it, so that usually not every nsqd of a topic
        has all of its channels. All of them if there is no channel, or no nsqd has it (what they
        answer then says so); one that does not answer may have it. Who was waited for in vain is
        not asked again, as that would take as long once more.
        """
        every = _addresses(producers)
        if not channel:
            return every, ()
        try:
            found = await nsqd_stats(self.upstream, producers, topic=topic, channel=channel)
        except AllFailed:
            return every, ()
        having = {
            part.node
            for stats in found.value
            for part in stats.channels
            if part.channel_name == channel
        }
        if not having:
            return every, ()
        late = tuple(failure for failure in found.failures if failure.late)
        asked = having | {failure.address for failure in found.failures if not failure.late}
        return [one for one in every if one in asked], late

    async def tombstone(self, topic: str, node: str) -> Failures:
        """Hide ``node`` from who looks for ``topic``, and delete the topic there.

        Raises:
            AllFailed: ``node`` is no nsqd of this cluster, or did not answer.
        """
        failures = await self._post(
            self.lookupds, "/topic/tombstone", {"topic": topic, "node": node}
        )
        answer = await self.nodes()
        if node not in _addresses(answer.value):
            raise AllFailed("nsqd", [UpstreamError(node, f"{node} is no nsqd of this cluster")])
        there = await nsqd_nodes(self.upstream, [node])
        failures += answer.failures + there.failures
        return failures + await self._post([node], "/topic/delete", {"topic": topic})

    async def _post(self, addresses: Sequence[str], path: str, params: dict[str, str]) -> Failures:
        async def ask(address: str) -> None:
            await self.upstream.post(address, path, params)

        return (await ask_all("daemon", addresses, ask, need_one=False)).failures


def _addresses(producers: Sequence[Producer]) -> list[str]:
    return [producer.http_address for producer in producers]


def _target(topic: str, channel: str) -> tuple[str, dict[str, str]]:
    if channel:
        return "channel", {"topic": topic, "channel": channel}
    return "topic", {"topic": topic}
