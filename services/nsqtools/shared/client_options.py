"""What ``--consumer-opt`` and ``--producer-opt`` take: the option names of the original client.

An option is ``name,value`` (or ``name=value``, which is what fits into an environment variable); a
switch may stand alone. `parse_option` turns the text into a checked `ClientOption`, and
`ClientSettings` a list of those into what our client understands. Options that steer something our
client does in another way are accepted, checked, and then without effect; `unused` names them.
"""

import re
import ssl
from collections.abc import Callable, Iterable
from typing import Any

import anyio

from nsqclient import ConnectionOptions, Message
from nsqclient.connection.stream import dial, split_address, unix_path
from nsqcore.access.presented import BadToken, TokenFile
from nsqcore.addresses import AddressError, parse_host_port
from nsqcore.app.config.options import OptionsError
from nsqcore.app.config.values import boolean, duration_text, integer, number, seconds
from nsqcore.classes import field, frozen
from nsqcore.tls import client_tls
from nsqtools.shared.answers import requeue

Parse = Callable[[str], Any]

HOUR = 3600.0
# The longest interval the original client accepts for what happens again and again.
FIVE_MINUTES = 300.0
# A timeout that never comes: longer than any process lives, and no trouble for a clock.
NEVER = 1e9


def _within(parse: Parse, lowest: float, highest: float | None = None) -> Parse:
    def checked(value: str) -> Any:
        result = parse(value)
        if result < lowest or (highest is not None and result > highest):
            shown = duration_text if parse is seconds else str
            limit = f"at least {shown(lowest)}"
            if highest is not None:
                limit = f"from {shown(lowest)} to {shown(highest)}"
            raise ValueError(f"must be {limit}")
        return result

    return checked


def _one_of(*words: str) -> Parse:
    def checked(value: str) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value

    return checked


def _local_host(value: str) -> str:
    """The host of ``host:port``; the port may be 0, and is not used: connections are several."""
    try:
        return parse_host_port(value, lowest=0)[0]
    except AddressError as error:
        raise ValueError("must be host:port; port 0 is any") from error


def _or_never(parse: Parse) -> Parse:
    """A timeout for which zero, and less, means that there is none."""

    def checked(value: str) -> float:
        result: float = parse(value)
        return result if result > 0 else NEVER

    return checked


# Names and ranges are those of the original client's Config. The heartbeat may not be turned off:
# a consumer without it is refused by nsqd.
OPTIONS: dict[str, Parse] = {
    "auth_secret": str,
    "auth_secret_file": str,
    "backoff_multiplier": _within(seconds, 0.0, HOUR),
    "backoff_strategy": _one_of("", "exponential", "full_jitter"),
    "client_id": str,
    "default_requeue_delay": _within(seconds, 0.0, HOUR),
    "deflate": boolean,
    "deflate_level": _within(integer, 1, 9),
    "dial_timeout": _or_never(seconds),
    "heartbeat_interval": _within(seconds, 1e-9),
    "hostname": str,
    "local_addr": _local_host,
    "lookupd_poll_interval": _within(seconds, 0.01, FIVE_MINUTES),
    "lookupd_poll_jitter": _within(number, 0.0, 1.0),
    "lookupd_poll_timeout": _or_never(seconds),
    "low_rdy_idle_timeout": _within(seconds, 1.0, FIVE_MINUTES),
    "low_rdy_timeout": _within(seconds, 1.0, FIVE_MINUTES),
    "max_attempts": _within(integer, 0, 65535),
    "max_backoff_duration": _within(seconds, 0.0, HOUR),
    "max_in_flight": _within(integer, 0),
    "max_requeue_delay": _within(seconds, 0.0, HOUR),
    "msg_timeout": _within(seconds, 0.0),
    "output_buffer_size": integer,
    "output_buffer_timeout": seconds,
    "rdy_redistribute_interval": _within(seconds, 0.001, 5.0),
    "read_timeout": _within(seconds, 0.1, FIVE_MINUTES),
    "sample_rate": _within(integer, 0, 99),
    "skip_lookupd_authorization": boolean,
    "snappy": boolean,
    "tls_cert": str,
    "tls_insecure_skip_verify": boolean,
    "tls_key": str,
    "tls_min_version": _one_of("ssl3.0", "tls1.0", "tls1.1", "tls1.2", "tls1.3"),
    "tls_root_ca_file": str,
    "tls_v1": boolean,
    "user_agent": str,
    "write_timeout": _within(seconds, 0.1, FIVE_MINUTES),
}

# Our client shares RDY, polls sockets and authenticates in its own way.
WITHOUT_EFFECT = frozenset(
    {
        "low_rdy_idle_timeout",
        "low_rdy_timeout",
        "rdy_redistribute_interval",
        "read_timeout",
        "skip_lookupd_authorization",
        "write_timeout",
    }
)
TLS_OPTIONS = frozenset(name for name in OPTIONS if name.startswith("tls_"))
# The utilities have a flag for the one, and say themselves who they are.
OVERRIDDEN = frozenset({"max_in_flight", "user_agent"})


@frozen
class ClientOption:
    """One option of the client: its name with underscores, and the checked value."""

    name: str
    value: Any = field(repr=False)  # may be a secret


def parse_option(given: object) -> ClientOption:
    """The option in ``name,value``, ``name=value`` or ``name``; raises ValueError otherwise."""
    if not isinstance(given, str):
        raise ValueError("expected a text")
    parts = re.split("[,=]", given, maxsplit=1)
    name = parts[0].strip().replace("-", "_")
    parse = OPTIONS.get(name)
    if parse is None:
        raise ValueError(f"the client has no option {name!r}")
    if len(parts) == 1 and parse is not boolean:
        raise ValueError(f"option {name} needs a value")
    try:
        return ClientOption(name, parse(parts[1]) if len(parts) == 2 else True)
    except ValueError as error:
        raise ValueError(f"option {name}: {error}") from error


@frozen
class ClientSettings:
    """The options given, as the client understands them; the last of a name counts."""

    values: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, options: Iterable[ClientOption]) -> "ClientSettings":
        """The settings that a list of options makes."""
        return cls({option.name: option.value for option in options})

    def unused(self) -> list[str]:
        """Which of the options given do nothing here."""
        given = set(self.values)
        if self.values.get("backoff_strategy") != "full_jitter":
            given.discard("backoff_strategy")
        return sorted(given & (WITHOUT_EFFECT | OVERRIDDEN | {"backoff_strategy"}))

    def connection(self, user_agent: str) -> ConnectionOptions:
        """How to connect to an nsqd.

        Raises:
            OptionsError: options that contradict each other, or a certificate that cannot be read.
        """
        given = self.values
        names = ("client_id", "hostname", "snappy", "auth_secret", "sample_rate")
        settings: dict[str, Any] = {name: given[name] for name in names if name in given}
        if given.get("auth_secret_file"):
            settings["auth_secret"] = _secret_file(given["auth_secret_file"])
        for name in ("heartbeat_interval", "output_buffer_size", "output_buffer_timeout"):
            if name in given:
                settings[name] = given[name]
        if given.get("msg_timeout"):
            settings["msg_timeout"] = given["msg_timeout"]
        if "dial_timeout" in given:
            settings["connect_timeout"] = given["dial_timeout"]
        if given.get("deflate"):
            settings["deflate"] = given.get("deflate_level", 6)
        if given.get("local_addr"):
            settings["dial"] = _dial_from(given["local_addr"])
        if given.get("heartbeat_interval", 30.0) > given.get("read_timeout", 60.0):
            raise OptionsError("option heartbeat_interval must not exceed read_timeout")
        if given.keys() & TLS_OPTIONS:  # files are looked at even if they are not to be used
            context = self._tls()
            settings["tls"] = context if given.get("tls_v1") else False
        try:
            return ConnectionOptions(user_agent=user_agent, **settings)
        except ValueError as error:
            raise OptionsError(str(error)) from error

    def lookupd_tls(self) -> ssl.SSLContext | None:
        """TLS for ``https://`` nsqlookupds: who vouches for nsqd does for them, beside the system.

        Raises:
            OptionsError: a file cannot be read.
        """
        if not self.values.keys() & TLS_OPTIONS:
            return None
        context = self._tls()
        context.load_default_certs()
        return context

    def consumer(self) -> dict[str, Any]:
        """Further arguments of `open_consumer`."""
        given = self.values
        renamed = {
            "max_backoff_duration": "max_backoff",
            "lookupd_poll_interval": "lookupd_poll_interval",
            "lookupd_poll_jitter": "lookupd_poll_jitter",
            "lookupd_poll_timeout": "lookupd_timeout",
        }
        settings = {ours: given[name] for name, ours in renamed.items() if name in given}
        multiplier = given.get("backoff_multiplier", 1.0)
        if multiplier:
            settings["backoff_unit"] = multiplier
        else:
            settings["max_backoff"] = 0.0  # twice nothing is nothing, however often
        return settings

    def max_attempts(self, default: int) -> int | None:
        """Deliveries after which a message is given up; None is never."""
        attempts: int = self.values.get("max_attempts", default)
        return attempts or None

    def requeue_delay(self, attempts: int) -> float:
        """Seconds until a message that failed is to come again: longer with every attempt."""
        delay: float = self.values.get("default_requeue_delay", 90.0) * attempts
        longest: float = self.values.get("max_requeue_delay", 900.0)
        return min(delay, longest)

    def requeue(self, message: Message) -> None:
        """Have a message that failed come again, and back off."""
        requeue(message, self.requeue_delay(message.attempts))

    def _tls(self) -> ssl.SSLContext:
        given = self.values
        try:
            shows = bool(given.get("tls_cert") and given.get("tls_key"))
            context = client_tls(
                authorities=given.get("tls_root_ca_file", ""),
                certificate=given["tls_cert"] if shows else "",
                key=given["tls_key"] if shows else "",
                verify=not given.get("tls_insecure_skip_verify"),
            )
        except OSError as error:
            raise OptionsError(f"TLS files of the client options: {error}", status=2) from error
        # Older ones than 1.2 are not spoken here, whatever is asked for.
        if given.get("tls_min_version") == "tls1.3":
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


def _secret_file(path: str) -> TokenFile:
    """The secret in the first line of a file, as it is when it is said. Raises OptionsError."""
    try:
        found = TokenFile(path)
        found.load()
    except BadToken as error:
        raise OptionsError(f"option auth_secret_file: {error}", status=2) from None
    return found


def _dial_from(local_host: str) -> Callable[[str], Any]:
    """A way to dial that starts from one of this machine's addresses."""

    async def dial_from(address: str) -> Any:
        if unix_path(address) is not None:
            return await dial(address)
        host, port = split_address(address)
        return await anyio.connect_tcp(host, port, local_host=local_host)

    return dial_from
