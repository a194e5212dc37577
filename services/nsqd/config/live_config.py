"""The settings of a running nsqd: which can be changed over HTTP, and what that does."""

from typing import Any

from nsqcore.app import log
from nsqcore.classes import frozen
from nsqcore.metrics.statsd import expand_prefix
from nsqcore.operations.config import Config, addresses, level, level_number
from nsqd.engine.broker import Broker
from nsqd.lifecycle.drain import Drain
from nsqd.lookup.advertised import Advertised
from nsqd.lookup.registrar import LookupRegistrar


@frozen(eq=False)
class _Changes:
    broker: Broker
    registrar: LookupRegistrar

    def log_level(self, body: bytes) -> int:
        name = level(body)
        log.set_level(name)
        return level_number(name)

    def lookupd_addresses(self, body: bytes) -> list[str]:
        found = addresses(body)
        self.broker.hold_new_topics = bool(found)
        self.registrar.set_addresses(found)
        return list(found)


def live_config(
    values: dict[str, Any],
    advertised: Advertised,
    broker: Broker,
    registrar: LookupRegistrar,
    drain: Drain,
) -> Config:
    """The settings ``values``, with what is only known or can be changed while nsqd runs."""
    changes = _Changes(broker, registrar)
    prefix = values["statsd_prefix"]
    return Config(
        values=dict(values),
        live={
            "broadcast_address": lambda: advertised.address,
            "broadcast_tcp_port": lambda: advertised.tcp_port,
            "broadcast_http_port": lambda: advertised.http_port,
            "statsd_prefix": lambda: expand_prefix(prefix, advertised.host_key()),
            "drain": drain.is_active,
        },
        changes={
            "log_level": changes.log_level,
            "nsqlookupd_tcp_addresses": changes.lookupd_addresses,
        },
        switches={"drain": drain.begin},
    )
