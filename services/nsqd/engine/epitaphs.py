"""What the headers of a dead letter tell: where it died, when, and of what."""

from nsqcore.classes import define, field
from nsqcore.wire.headers import (
    MARK,
    BadHeaders,
    decode_headers,
    encode_header,
    split_record,
    with_block,
)
from nsqcore.wire.hot import HEADER_SIZE
from nsqd.engine.departures import Parting
from nsqd.engine.messages.message import attempts

PREFIX = "nsq-dead-"
TOPIC, CHANNEL = PREFIX + "topic", PREFIX + "channel"
FIRST, ID = PREFIX + "first", PREFIX + "id"


def headers_of(block: bytes) -> dict[str, str]:
    """The headers in ``block``; none where it is damaged."""
    try:
        return decode_headers(block) if block else {}
    except BadHeaders:
        return {}


@define(eq=False, repr=False)
class Epitaph:
    """Writes the headers of what dies in one channel at ``wall`` ns of the wall clock."""

    topic: str
    channel: str
    parting: Parting
    wall: int
    _common: bytes = field(init=False)
    _blocks: dict[int, bytes] = field(factory=dict, init=False)  # by attempts, of most messages

    def __attrs_post_init__(self) -> None:
        parting = self.parting
        told = {TOPIC: self.topic, CHANNEL: self.channel, PREFIX + "reason": parting.death.value}
        told[PREFIX + "last"] = str(self.wall)
        if parting.error:
            told[PREFIX + "error"] = parting.error
        self._common = b"".join([encode_header(*each) for each in told.items()])

    def letters(self, records: list[bytes], *, headed: bool) -> list[bytes]:
        """The bodies of the dead letters of ``records``, with their headers behind them.

        ``headed`` says that the records may have some: they keep those that others gave.
        """
        letters: list[bytes] = []
        counted, block, end = b"", b"", b""
        for record in records:
            if headed and record[8] & MARK:
                letters.append(self._headed(record))
                continue
            if record[8:10] != counted:  # most have been delivered equally often
                counted = record[8:10]
                made = attempts(record)
                block = self._blocks.get(made) or self._block(made, self.wall)
                self._blocks[made] = block
                end = with_block(b"", block + record[10:HEADER_SIZE])[-2:]  # how long they are
            letters.append(b"".join((record[HEADER_SIZE:], block, record[10:HEADER_SIZE], end)))
        return letters

    def _headed(self, record: bytes) -> bytes:
        body, given = split_record(record)
        before = headers_of(given)
        kept = [
            encode_header(name, value)
            for name, value in before.items()
            if not name.startswith(PREFIX)
        ]
        own = self._block(attempts(record), before.get(FIRST, self.wall))
        return with_block(body, b"".join((*kept, own, record[10:HEADER_SIZE])))

    def _block(self, made: int, first: object) -> bytes:
        """What nsqd tells of a message delivered so often, all but the id that is its end."""
        made_header = encode_header(PREFIX + "attempts", str(made))
        id_header = encode_header(ID, "0" * 16)[:-16]
        return b"".join((self._common, made_header, encode_header(FIRST, str(first)), id_header))
