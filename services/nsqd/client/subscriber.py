"""A V2 client as the engine's consumers see it: records become frames in its outbox."""

from collections.abc import Callable

from nsqcore.classes import define, field
from nsqcore.net.outbox import Outbox
from nsqcore.wire.headers import has_headers, headed_frames, plain_record
from nsqcore.wire.hot import encode_messages
from nsqd.client.client import Client


@define(eq=False, repr=False)
class ClientSubscriber:
    """Gives ``client`` its messages: a `nsqd.engine.delivery.consumer.Subscriber`."""

    client: Client
    outbox: Outbox = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outbox = self.client.outbox

    def send(self, records: list[bytes]) -> None:
        """Put the message frames of ``records`` into the outbox."""
        channel = self.client.channel
        if channel is not None and channel.headed and has_headers(records):
            if self.client.identity.headers:
                self.outbox.add(headed_frames(records))
                return
            records = [plain_record(record) for record in records]
        self.outbox.add(encode_messages(records))

    def unread(self) -> int:
        """How many bytes wait in the outbox."""
        return self.outbox.size

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call ``call``, and have a tick, once most of the outbox has gone."""
        request_tick = self.client.services.request_tick

        def drained() -> None:
            call()
            request_tick()

        self.outbox.drained = drained

    def channel_deleted(self) -> None:
        """End the connection."""
        self.outbox.close("channel deleted")
