"""What is remembered of each daemon between two looks at the cluster."""

from nsqadmin.collect.rates import RateWindow
from nsqcore.classes import define, field
from nsqcore.cluster.health import NsqdHealth
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.stats import TopicStats

# Parsing 5000 clients takes about 50 ms here: what a page may be held up by, once per round.
CLIENT_BUDGET = 5000
_NOTHING_YET = "no answer yet"


@define(eq=False, repr=False)
class KnownLookupd:
    """What is remembered of an nsqlookupd between rounds."""

    producers: list[Producer] = field(factory=list)
    topics: list[str] = field(factory=list)
    error: str = _NOTHING_YET

    @property
    def failed(self) -> bool:
        """Whether it was asked in vain the last time."""
        return self.error not in ("", _NOTHING_YET)


@define(eq=False, repr=False)
class KnownNode:
    """What is remembered of an nsqd between rounds."""

    producer: Producer
    rates: RateWindow = field(factory=RateWindow)
    topics: tuple[TopicStats, ...] = ()
    health: NsqdHealth = field(factory=NsqdHealth)
    clients: int = CLIENT_BUDGET // 10  # a guess, until it has told
    clients_asked: int = 0
    informed: int = 0
    error: str = _NOTHING_YET

    @property
    def failed(self) -> bool:
        """Whether it was asked in vain the last time."""
        return self.error not in ("", _NOTHING_YET)
