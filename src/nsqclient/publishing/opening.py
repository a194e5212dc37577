"""Opening a producer: the settings, checked at the call, and the parts put together."""

import math
import ssl
from collections.abc import AsyncIterator, Sequence

from nsqclient.connection.stream import check_address
from nsqclient.core.arguments import Duration, addresses, function, instance, switch, whole
from nsqclient.core.background import background
from nsqclient.core.lifetime import opening
from nsqclient.core.options import ConnectionOptions
from nsqclient.http.api import check_url
from nsqclient.http.polling import lookupd_settings
from nsqclient.messages.hooks import Hooks
from nsqclient.publishing.bodies import Encode
from nsqclient.publishing.endpoint import Endpoint
from nsqclient.publishing.nodes import Nodes
from nsqclient.publishing.producer import Producer


@opening
async def open_producer(
    nsqd: str | Sequence[str] = (),
    *,
    lookupd: str | Sequence[str] = (),
    resend: bool = False,
    wait_when_down: bool = False,
    copies: int = 1,
    max_waiting: int | None = None,
    encode: Encode | None = None,
    lookupd_poll_interval: Duration = 60.0,
    lookupd_poll_jitter: float = 0.3,
    lookupd_timeout: Duration = 5.0,
    lookupd_tls: ssl.SSLContext | None = None,
    options: ConnectionOptions | None = None,
    hooks: Hooks | None = None,
) -> AsyncIterator[Producer]:
    """A producer for the nsqds given or found, for as long as the ``async with`` lasts.

    It connects in the background; the first publish waits for that. Publishes
    go round the connected nsqds; one that goes away is left out until it is back.
    Where ``options`` name our zone or region, they go round those in our zone while there are any,
    then those in our region. It may be entered in one task and left in another;
    ``await open_producer(…).start()`` gives one without a block, which ends with its `aclose`.

    Args:
        nsqd: TCP addresses, ``host:port`` or ``unix:/path``.
        lookupd: HTTP addresses of nsqlookupds, ``host:port`` or URLs: publish to the nsqds that
            are registered there (``/nodes``). Both kinds may be given.
        resend: publish again elsewhere when an answer was lost: a message may then be there twice.
        wait_when_down: while no nsqd can be reached, wait for one, for as long as the caller's
            cancel scope allows, instead of raising `ConnectionLost`.
        copies: publish each message to so many nsqds, one after the other: it outlives the loss of
            one. Consumers get it once, mostly, where the topic keeps headers (docs/client.md).
            If there are fewer nsqds, publishing raises `ConnectionLost` with ``sent``.
        max_waiting: how many publishes may wait at a time; one more raises `Overloaded`. None is
            any number. Each holds its message.
        encode: makes a body of what is published and is no bytes; `nsqclient.codecs` has some.
            What it raises comes out of the publish.
        lookupd_poll_interval: how often they are asked; also at once when an nsqd is lost.
        lookupd_poll_jitter: the largest part of the interval added to it at random.
        lookupd_tls: for ``https://`` nsqlookupds; None trusts the system's authorities.

    Raises:
        ValueError: an address is wrong, or there is none.
        TypeError: an argument is of a wrong type.
    """
    nsqds, lookupds = addresses(nsqd, "nsqd"), addresses(lookupd, "lookupd")
    if not nsqds and not lookupds:
        raise ValueError("nowhere to publish to: give the address of an nsqd or of nsqlookupds")
    options = ConnectionOptions() if options is None else options
    instance(options, ConnectionOptions, "options")
    hooks = instance(Hooks() if hooks is None else hooks, Hooks, "hooks")
    settings = lookupd_settings(
        options, lookupd_poll_interval, lookupd_poll_jitter, lookupd_timeout, lookupd_tls
    )
    producer = Producer(hooks, switch(resend, "resend"), switch(wait_when_down, "wait_when_down"))
    producer._copies = whole(copies, "copies", lowest=1)
    producer._max_waiting = math.inf
    if max_waiting is not None:
        producer._max_waiting = whole(max_waiting, "max_waiting", lowest=1)
    producer._encode = None if encode is None else function(encode, "encode")

    def endpoint(address: str) -> Endpoint:
        return Endpoint(address, options, hooks, producer._on_change)

    endpoints = producer._endpoints
    endpoints += [endpoint(check_address(address)) for address in nsqds]
    for address in lookupds:
        check_url(address)
    async with background(producer._close, producer._fail) as tasks:
        producer._tasks = tasks
        for fixed in list(endpoints):
            tasks.start(fixed.run)
        if lookupds:
            nodes = Nodes(endpoints, frozenset(nsqds), endpoint, producer._on_change)
            producer._nodes = nodes
            nodes.start(lookupds, settings, tasks)
        yield producer
