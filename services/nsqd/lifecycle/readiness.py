"""Whether this nsqd is ready for clients, and if not, why."""

from nsqcore.classes import define, field
from nsqcore.operations.lag import LoopLag
from nsqd.engine.broker import Broker
from nsqd.lifecycle.drain import Drain
from nsqd.lookup.registrar import LookupRegistrar


@define(eq=False, repr=False)
class Readiness:
    """The checks behind /readyz."""

    broker: Broker
    lag: LoopLag
    drain: Drain
    registrar: LookupRegistrar
    _registered: bool = field(default=False, init=False)

    def checks(self) -> dict[str, str]:
        """What keeps nsqd from being ready, by the name of the check; empty where all is well."""
        health = self.broker.health
        return {
            "disk": health.text if health.error else health.low,
            "loop": self.lag.trouble(),
            "draining": "draining" if self.drain.active else "",
            "lookupd": self._registration(),
        }

    def _registration(self) -> str:
        """Which nsqlookupd this nsqd waits for, until it is registered for the first time."""
        states = self.registrar.states()
        if not states or any(state.state == "connected" for state in states):
            self._registered = True
        if self._registered:
            # an outage of nsqlookupd is no reason to take every nsqd out of service
            return ""
        return "not registered with " + ", ".join(state.address for state in states)
