"""The session of one nsqd: its commands in, changes of the registry and replies out.

It does no I/O (`nsqcore.net.effects.Handler`) and ends at the first error, after telling it.
Whatever ends it, the registry forgets the producer.
"""

import json
import logging
from collections.abc import Callable

from nsqcore.classes import define, field
from nsqcore.net.effects import Close, Effect, Peer
from nsqcore.net.outbox import Outbox
from nsqcore.wire.commands import ParseError
from nsqcore.wire.errors import BadBody
from nsqcore.wire.lookup import (
    OK_REPLY,
    IdentifyProducer,
    LookupCommand,
    LookupParser,
    Ping,
    Register,
    Unregister,
    parse_peer,
    reply,
)
from nsqlookupd.registry import Producer, Registry

logger = logging.getLogger(__name__)


@define(eq=False, repr=False)
class LookupSession:
    """What one connection of an nsqd says and hears.

    ``about`` gives what this nsqlookupd tells of itself; ``now`` is monotonic nanoseconds.
    """

    peer: Peer
    registry: Registry
    about: Callable[[], dict[str, object]]
    now: Callable[[], int]
    outbox: Outbox = field(factory=Outbox, init=False)
    _parser: LookupParser = field(factory=LookupParser, init=False)
    _producer: Producer | None = field(default=None, init=False)

    def received(self, data: bytes) -> Effect | None:
        """Take a chunk; b"" is the end of what the peer sends."""
        commands = self._parser.feed(data) if data else self._parser.finish()
        for command in commands:
            effect = self._execute(command)
            if effect is not None:
                return effect
        return None

    def closed(self, error: Exception | None) -> None:
        """Forget the producer: its connection is gone."""
        producer, self._producer = self._producer, None
        if producer is not None:
            count = len(producer.topics)
            self.registry.remove(producer)
            self._log_change("UNREGISTER", "client")
            logger.info("DB: client(%s) UNREGISTER of %d topics", producer.id, count)
        cause = f" - {error}" if error else ""
        logger.info("PROTOCOL(V1): [%s] exiting ioloop%s", self.peer.address, cause)

    def _execute(self, command: LookupCommand) -> Effect | None:
        if isinstance(command, ParseError):
            return self._fail(command)
        if isinstance(command, IdentifyProducer):
            return self._identify(command)
        if isinstance(command, Ping):
            self._ping()
        elif isinstance(command, Register):
            self._register(command)
        else:
            self._unregister(command)
        self.outbox.add(OK_REPLY)
        return None

    def _fail(self, fault: ParseError) -> Close:
        answer = fault.error.to_wire()
        logger.error(
            "client(%s) - %s", self.peer.address, answer.decode("utf-8", "backslashreplace")
        )
        self.outbox.add(reply(answer))
        return Close(str(fault.error))

    def _identify(self, command: IdentifyProducer) -> Effect | None:
        try:
            peer = parse_peer(command.body)
        except BadBody as error:
            return self._fail(ParseError(error.with_traceback(None)))
        self._producer = Producer(self.peer.address, peer, self.now())
        self.registry.add(self._producer)
        logger.info(
            "CLIENT(%s): IDENTIFY Address:%s TCP:%d HTTP:%d Version:%s",
            self.peer.address,
            peer.broadcast_address,
            peer.tcp_port,
            peer.http_port,
            peer.version,
        )
        self._log_change("REGISTER", "client")
        self.outbox.add(reply(json.dumps(self.about(), separators=(",", ":")).encode()))
        return None

    def _ping(self) -> None:
        if self._producer is not None:  # a peer may ping before it says who it is
            self._producer.seen = self.now()
            logger.debug("CLIENT(%s): pinged", self.peer.address)

    def _register(self, command: Register) -> None:
        assert self._producer is not None, "the parser lets nobody register who is unknown"
        known = len(self._producer.topics)
        if not self.registry.register(self._producer, command.topic, command.channel):
            return
        if command.channel:
            self._log_change("REGISTER", "channel", command.topic, command.channel)
        if len(self._producer.topics) > known:
            self._log_change("REGISTER", "topic", command.topic)

    def _unregister(self, command: Unregister) -> None:
        assert self._producer is not None, "the parser lets nobody unregister who is unknown"
        if self.registry.unregister(self._producer, command.topic, command.channel):
            category = "channel" if command.channel else "topic"
            self._log_change("UNREGISTER", category, command.topic, command.channel)

    def _log_change(self, what: str, category: str, key: str = "", subkey: str = "") -> None:
        logger.info(
            "DB: client(%s) %s category:%s key:%s subkey:%s",
            self.peer.address,
            what,
            category,
            key,
            subkey,
        )
