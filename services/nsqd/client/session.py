"""The session of one V2 client: a handler in the sense of `nsqcore.net.effects`.

A chunk becomes commands (`nsqcore.wire.parser`), each command a call of a
function in `nsqd.client.dispatch`; replies and messages gather in the outbox. No
trio, no sockets: the clock and the timers are functions of ``services``.
"""

import logging
from collections.abc import Callable
from functools import partial

from nsqcore.classes import define, field
from nsqcore.names import as_text
from nsqcore.net.effects import Close, Effect, Peer, Wait
from nsqcore.net.outbox import Outbox
from nsqcore.units import MS, SECOND
from nsqcore.wire.client_commands import MAGIC_V2
from nsqcore.wire.commands import Command, ParseError
from nsqcore.wire.errors import BadProtocol, ProtocolError
from nsqcore.wire.frames import HEARTBEAT_FRAME, error_frame
from nsqcore.wire.identify import Identity
from nsqcore.wire.parser import CommandParser
from nsqd.client.client import (
    AuthorizeNow,
    Client,
    OthersFirst,
    Services,
    Timer,
    UpgradeNow,
    host_of,
)
from nsqd.client.dispatch import authenticated, execute
from nsqd.client.permissions import PUBLISH
from nsqd.client.refusals import PermissionsExpired, check_permission, check_state, refuse

logger = logging.getLogger(__name__)


@define(eq=False, repr=False)
class Session:
    """Serves one client; ``on_closed`` is called once, when it is gone."""

    client: Client
    parser: CommandParser
    on_closed: Callable[["Session"], None]
    outbox: Outbox = field(init=False)
    _magic: bytes | None = b""  # what has come of it; None once it is complete
    _heard: int = 0  # when something last came
    _waiting: bool = False  # for the auth servers: nothing is read
    _heartbeat: Timer | None = None
    _interval: int = 0  # ns; of the heartbeat that is running
    _next_beat: int = 0

    def __attrs_post_init__(self) -> None:
        self.outbox = self.client.outbox
        self._heard = self.client.services.now()
        self._start_heartbeat()

    # ------------------------------------------------------------ the handler's contract

    def received(self, data: bytes) -> Effect | None:
        """Act on a chunk; b"" is the end of what the client sends."""
        self._heard = self.client.services.now()
        if self._magic is not None:
            if not data:
                return Close()
            data = self._magic + data
            if len(data) < len(MAGIC_V2):
                self._magic = data
                return None
            magic = data[: len(MAGIC_V2)]
            logger.info("CLIENT(%s): desired protocol magic '%s'", self.client.name, as_text(magic))
            if magic != MAGIC_V2:
                logger.error("client(%s) bad protocol magic '%s'", self.client.name, as_text(magic))
                self.outbox.add(error_frame(BadProtocol()))
                return Close()
            self._magic = None
            data = data[len(MAGIC_V2) :]
            if not data:
                return None
        if data:
            effect = self._run(self.parser.feed(data))
            if effect is None and self.parser.cut is not None:
                return self._refuse_unfinished(self.parser.cut)
            return effect
        self._run(self.parser.finish())
        return Close()

    def closed(self, error: Exception | None) -> None:
        """Give everything back that the client held."""
        client = self.client
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
        if error is not None:
            logger.debug("client(%s): %s", client.name, error)
        if self._magic is None:
            logger.info("PROTOCOL(V2): [%s] exiting ioloop", client.name)
        else:
            logger.debug("client(%s): gone without a word", client.name)
        channel, consumer = client.channel, client.consumer
        if channel is not None and consumer is not None:
            client.channel = client.consumer = None
            channel.remove(consumer)
            client.services.broker.consumer_left(channel)
        # whoever still refers to this session must not keep what it was sent, or was to send
        self.parser.clear()
        client.pending.clear()
        client.outbox.drained = None
        self.on_closed(self)

    # ------------------------------------------------------------ commands

    def _run(self, commands: list[Command]) -> Effect | None:
        """Act on ``commands``, and on those that had to wait behind an IDENTIFY among them."""
        while commands:
            effect = execute(self.client, commands)
            paused = self.parser.paused  # behind an IDENTIFY, perhaps
            if paused:
                self.parser.headers = self.client.identity.headers
            if paused and self.client.identity.heartbeat_interval * MS != self._interval:
                self._start_heartbeat()
            if effect is not None:
                return self._effect_of(effect)
            commands = self.parser.resume() if paused else []
        return None

    def _effect_of(self, wanted: Effect | UpgradeNow | AuthorizeNow | OthersFirst) -> Effect | None:
        """What the driver is to do for a command that needs I/O."""
        services = self.client.services
        if isinstance(wanted, UpgradeNow):
            return services.upgrade(self)
        if isinstance(wanted, AuthorizeNow):
            self._waiting = True
            return Wait(partial(services.authorize, self.client), self._authorized)
        if isinstance(wanted, OthersFirst):
            return Wait(services.others_first, self._go_on)
        return wanted

    def _authorized(self) -> Effect | None:
        """Go on after the auth servers were asked, with the commands that had to wait for it."""
        client = self.client
        self._waiting, self._heard = False, client.services.now()
        try:
            authenticated(client)
        except ProtocolError as error:
            refuse(client, error)
            return Close()
        return self._go_on()

    def _go_on(self) -> Effect | None:
        """Act on the commands that had to wait."""
        pending, self.client.pending = self.client.pending, []
        return self._run(pending or self.parser.resume())

    def _refuse_unfinished(self, cut: ParseError) -> Effect | None:
        """Refuse a command that may not come now by its line: its body need not be awaited."""
        try:
            check_state(self.client, cut.command)
            if cut.topic:
                check_permission(self.client, cut.command.decode(), cut.topic, "", PUBLISH)
        except PermissionsExpired:
            return None  # asked for again when the command is whole
        except ProtocolError as error:
            refuse(self.client, error)
            return Close()
        return None

    # ------------------------------------------------------------ heartbeats

    def _start_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
        self._interval = self.client.identity.heartbeat_interval * MS
        services = self.client.services
        # A client without heartbeats is given the longest that one with them could have.
        longest = services.settings.limits.max_heartbeat_interval * MS
        self.outbox.patience = 2 * (self._interval or longest) / SECOND
        if self._interval:
            self._next_beat = services.now() + self._interval
            self._heartbeat = services.call_at(self._next_beat, self._beat)

    def _beat(self) -> None:
        """Send a heartbeat, or end a connection that gave no sign for two of them."""
        services = self.client.services
        now = services.now()
        silent_at = (now if self._waiting else self._heard) + 2 * self._interval
        if now >= silent_at:
            logger.warning("client(%s): heartbeats unanswered, closing", self.client.name)
            self.outbox.close("heartbeats unanswered")
            return
        if now >= self._next_beat:
            self.outbox.add(HEARTBEAT_FRAME)
            self._next_beat = now + self._interval
        self._heartbeat = services.call_at(min(self._next_beat, silent_at), self._beat)


def open_session(
    services: Services, wall: int, on_closed: Callable[[Session], None], peer: Peer
) -> Session:
    """A session for a connection that was just accepted, at ``wall`` ns of the wall clock."""
    settings = services.settings
    limits = settings.limits
    host = host_of(peer)
    identity = Identity(
        client_id=host,
        hostname=host,
        heartbeat_interval=min(30_000, limits.max_heartbeat_interval),
        output_buffer_timeout=limits.output_buffer_timeout,
        msg_timeout=limits.msg_timeout,
    )
    parser = CommandParser(
        settings.max_msg_size, settings.max_body_size, settings.max_defer_timeout // MS
    )
    parser.tls_missing = settings.tls_required
    client = Client(services, peer, wall, identity)
    logger.info("TCP: new client(%s)", peer.address)
    return Session(client, parser, on_closed)
