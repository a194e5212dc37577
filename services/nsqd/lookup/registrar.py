"""Keeps every nsqlookupd told of this nsqd, its topics and its channels.

The broker's changes come in through `LookupRegistrar.changed` and go, without waiting, to one
`LookupPeer` per nsqlookupd. Which nsqlookupd there are is given by addresses that may change
at any time, and by what their names resolve to. The other way round, `existing_channels` asks
them over HTTP for the channels that a new topic has elsewhere.

A dead, late or forgetful nsqlookupd delays nothing here but its own registration.
"""

import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

import trio

from nsqcore.addresses import AddressError, is_literal, join_host_port
from nsqcore.app import threads
from nsqcore.app.supervise import supervise
from nsqcore.classes import define, field, frozen
from nsqcore.late import load
from nsqcore.names import is_ephemeral, is_valid_name
from nsqcore.wire.lookup import Peer, register_command, unregister_command
from nsqd.engine.broker import Kind
from nsqd.engine.channel import Channel
from nsqd.engine.topic import Topic
from nsqd.lookup.addresses import Endpoint, Resolve, parse_address, resolve
from nsqd.lookup.peer import Connect, Identify, LookupPeer, State
from nsqd.lookup.secure import LookupTls, LookupTlsSettings, is_secure

logger = logging.getLogger(__name__)

# How soon an nsqlookupd that was added to a name is told of this nsqd.
RESOLVE_INTERVAL = 30.0
RETRY_RESOLVING = 5.0
# A new topic waits for nsqlookupd to be connected no longer than this: at the start only.
FIRST_TRY_TIMEOUT = 1.0


class ChannelSource(Protocol):
    """Who can be asked for channels: see `nsqd.lookup.channels`."""

    async def ask(self, topic: str, lookupds: list[str]) -> tuple[list[str], list[str]]:
        """The channels of ``topic``, and who failed how."""

    async def close(self) -> None:
        """Close its connections."""


OpenSource = Callable[[float, float], ChannelSource]


def open_client(
    connect_timeout: float,
    request_timeout: float,
    token: Callable[[], str] | None = None,
    tls: Callable[[], ssl.SSLContext | None] = lambda: None,
) -> ChannelSource:
    """Who can be asked for channels."""
    # an HTTP client takes 0.1 s to load: not for those who run without nsqlookupd
    source: ChannelSource = load("nsqd.lookup.channels:open_client")(
        connect_timeout, request_timeout, token, tls
    )
    return source


@frozen(kw_only=True)
class LookupSettings:
    """The registration's part of the options; timeouts are seconds, of HTTP questions."""

    addresses: tuple[str, ...] = ()
    connect_timeout: float = 2.0
    request_timeout: float = 5.0
    token_file: str = ""
    tls: LookupTlsSettings = field(factory=LookupTlsSettings)


@frozen
class LookupState:
    """How the registration at one nsqlookupd stands."""

    address: str
    state: State
    error: str


@define(eq=False, repr=False)
class _Address:
    """A configured address, and the peers it stands for."""

    name: str
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    resolved: trio.Event = field(factory=trio.Event)
    error: str = ""
    peers: dict[Endpoint, LookupPeer] = field(factory=dict)


@define(eq=False, repr=False)
class LookupRegistrar:
    """Registers ``topics`` of this nsqd, which is ``identity``, with nsqlookupd at ``addresses``.

    ``identity`` is that of `LookupPeer`. Timeouts are those of HTTP questions, in seconds.
    """

    identity: Identify
    topics: Mapping[str, Topic]
    addresses: tuple[str, ...]
    connect_timeout: float = field(default=2.0, kw_only=True)
    request_timeout: float = field(default=5.0, kw_only=True)
    connect: Connect = field(default=trio.open_tcp_stream, kw_only=True)
    resolve: Resolve = field(default=resolve, kw_only=True)
    open_source: OpenSource = field(default=open_client, kw_only=True)
    tls: LookupTls = field(factory=LookupTls, kw_only=True)
    _known: dict[str, _Address] = field(factory=dict, init=False)
    _nursery: trio.Nursery | None = field(default=None, init=False)
    _begun: trio.Event = field(factory=trio.Event, init=False)
    _opening: trio.Lock = field(factory=trio.Lock, init=False)
    _source: ChannelSource | None = field(default=None, init=False)

    def changed(self, kind: Kind, topic: Topic, channel: Channel | None) -> None:
        """Take note of a topic or channel that came or went."""
        name = "" if channel is None else channel.name
        if kind == "create":
            command = register_command(topic.name, name)
        elif kind == "delete":
            command = unregister_command(topic.name, name)
        else:
            return
        for peer in self._peers():
            peer.tell(command)

    def set_addresses(self, addresses: Iterable[str]) -> None:
        """Register with the nsqlookupd at these addresses, and with no others."""
        self.addresses = tuple(dict.fromkeys(addresses))
        if self._nursery is None:
            return
        for name in [name for name in self._known if name not in self.addresses]:
            logger.info("LOOKUP(%s): removing peer", name)
            self._known.pop(name).scope.cancel()
        for name in self.addresses:
            if name not in self._known:
                logger.info("LOOKUP(%s): adding peer", name)
                address = self._known[name] = _Address(name)
                self._nursery.start_soon(self._keep, address)

    def states(self) -> list[LookupState]:
        """How every registration stands, addresses that can't be resolved included."""
        found = []
        for address in self._known.values():
            found += [LookupState(p.name, p.state, p.error) for p in address.peers.values()]
            if not address.peers:
                found.append(LookupState(address.name, "waiting", address.error))
        return found

    async def run(self) -> None:
        """Keep registered until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                if self.addresses:
                    # Now: when it is needed there may be no descriptor left to import with.
                    nursery.start_soon(supervise, "LOOKUP: HTTP client", self._load_source)
                self.set_addresses(self.addresses)
                self._begun.set()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._known.clear()
            source, self._source = self._source, None
            if source is not None:
                with trio.CancelScope(shield=True):
                    await source.close()

    async def existing_channels(self, topic: str) -> list[str] | None:
        """The channels that nsqlookupd know of ``topic``, without ephemeral ones.

        Asks only those that are connected; what fails is logged, and counts as no channels. None if
        all that were asked failed.
        """
        if not self.addresses:
            return []
        await self._wait_for_first_tries()
        asked = [
            _http_address(peer, peer.info)
            for peer in self._peers()
            if peer.state == "connected" and peer.info is not None
        ]
        if not asked:
            logger.error(
                "no available nsqlookupd to query for channels to pre-create for topic %s", topic
            )
            return []
        source = await self._channel_source()
        names, failures = await source.ask(topic, asked)
        for failure in failures:
            logger.warning(
                "failed to query nsqlookupd for channels to pre-create for topic %s - %s",
                topic,
                failure,
            )
        if not names and len(failures) >= len(asked):
            return None
        return [name for name in names if is_valid_name(name) and not is_ephemeral(name)]

    async def _load_source(self) -> None:
        await self._channel_source()

    async def _channel_source(self) -> ChannelSource:
        async with self._opening:
            if self._source is None:
                self._source = await threads.run_sync(
                    self.open_source, self.connect_timeout, self.request_timeout
                )
            return self._source

    def _peers(self) -> list[LookupPeer]:
        return [peer for address in self._known.values() for peer in address.peers.values()]

    async def _wait_for_first_tries(self) -> None:
        """Wait until every nsqlookupd has been tried, for a moment at most."""
        with trio.move_on_after(FIRST_TRY_TIMEOUT):
            await self._begun.wait()
            for address in list(self._known.values()):
                await address.resolved.wait()
            for peer in self._peers():
                await peer.tried.wait()

    async def _keep(self, address: _Address) -> None:
        """Keep peers for what ``address`` stands for."""
        with address.scope:
            await supervise(f"LOOKUPD({address.name})", self._keep_peers, address)

    async def _keep_peers(self, address: _Address) -> None:
        address.peers.clear()  # left by a run that failed
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    host, port = parse_address(address.name)
                    endpoints = [(host, port)]
                    if not is_literal(host):
                        endpoints = await self.resolve(host, port)
                    self._start(address, endpoints, nursery)
                    address.error = ""
                    pause = RESOLVE_INTERVAL
                    if is_literal(host):
                        return
                except (OSError, ValueError, AddressError) as error:
                    self._note(address, str(error))
                    pause = RETRY_RESOLVING
                finally:
                    address.resolved.set()
                await trio.sleep(pause)

    def _start(self, address: _Address, endpoints: list[Endpoint], nursery: trio.Nursery) -> None:
        for endpoint in [known for known in address.peers if known not in endpoints]:
            address.peers.pop(endpoint).stop()
        for endpoint in endpoints:
            if endpoint not in address.peers:
                secure, connect = is_secure(address.name), self.connect
                if secure:
                    connect = partial(self.tls.connect, parse_address(address.name)[0])
                peer = LookupPeer(
                    address.name if len(endpoints) == 1 else join_host_port(*endpoint),
                    *endpoint,
                    self.identity,
                    self._registrations,
                    lambda peer: not self._is_double(address, peer),
                    connect,
                    secure,
                )
                address.peers[endpoint] = peer
                nursery.start_soon(peer.run)

    def _is_double(self, address: _Address, peer: LookupPeer) -> bool:
        """Whether ``peer`` is a second way to an nsqlookupd with several addresses."""
        return peer.info is not None and any(
            other is not peer and other.state == "connected" and other.info == peer.info
            for other in address.peers.values()
        )

    def _registrations(self) -> list[bytes]:
        # A channel's registration is its topic's too.
        return [
            register_command(topic.name, channel)
            for topic in self.topics.values()
            for channel in topic.channels or ("",)
        ]

    def _note(self, address: _Address, error: str) -> None:
        level = logging.DEBUG if error == address.error else logging.ERROR
        logger.log(level, "LOOKUPD(%s): %s", address.name, error)
        address.error = error


def _http_address(peer: LookupPeer, info: Peer) -> str:
    """Where an nsqlookupd is asked over HTTP: over TLS if it is registered with over TLS.

    Its certificate is for the name that it was given here, unless that stands for several.
    """
    if not peer.secure:
        return join_host_port(info.broadcast_address, info.http_port)
    host = info.broadcast_address if is_literal(peer.host) else peer.host
    return f"https://{join_host_port(host, info.http_port)}"
