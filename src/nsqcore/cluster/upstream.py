"""HTTP to nsqd and nsqlookupd: one request, its JSON or a named failure.

Requests go down through `Upstream`, which bounds how many run at once, how long each may take and
how much each may answer. A token is shown to a daemon only after it has asked for one, and never in
the clear to one that wants TLS; an address may be an ``https://`` one. Everything that goes wrong
with one daemon comes back as `UpstreamError` with that daemon's address in it; it never ends a
query over many daemons.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, Generic, TypeVar

import trio

from nsqcore.addresses import host_of, join_host_port
from nsqcore.classes import frozen
from nsqcore.errors import NsqError
from nsqcore.http.client import HttpAnswer, HttpClient, RequestFailed
from nsqcore.http.pools import IDLE
from nsqcore.json import JsonError, decode
from nsqcore.readers import port

T = TypeVar("T")
Params = Mapping[str, str | Sequence[str]]

# An nsqd with 600 clients on each of 100 channels answers about 40 MB; four times that is no honest
# answer.
MAX_ANSWER = 160 * 1024 * 1024
# Bytes. Half a millisecond for each 100 kB is what the loop may spend on one answer.
LARGE = 1024 * 1024
# More at once only queue up in this process: parsing 30 answers keeps one core busy.
CONCURRENCY = 32


class UpstreamError(Exception):
    """One daemon did not answer, or not what was asked; the text names it.

    ``status`` is the one of an HTTP answer, 0 where there was none. ``late``: it was waited for in
    vain as long as may be.
    """

    def __init__(self, address: str, message: str, *, status: int = 0, late: bool = False) -> None:
        super().__init__(message)
        self.address = address
        self.status = status
        self.late = late


class AllFailed(NsqError):
    """Not one of the daemons asked has answered."""

    def __init__(self, kind: str, failures: Sequence[UpstreamError]) -> None:
        reasons = "\n".join(str(f) for f in failures) or "there is none to ask"
        super().__init__(f"failed to query any {kind}: {reasons}")
        self.failures = tuple(failures)


@frozen
class Answer(Generic[T]):
    """What the daemons said together, and those that said nothing."""

    value: T
    failures: tuple[UpstreamError, ...] = ()


@frozen
class Probe:
    """An answer as it came; ``date`` is its Date header, empty if there was none."""

    status: int
    body: bytes
    date: str


class Upstream:
    """A client for the HTTP APIs of the daemons; close it with ``async with`` or `aclose`."""

    def __init__(
        self,
        *,
        connect_timeout: float = 2.0,
        request_timeout: float = 5.0,
        tls: ssl.SSLContext | None = None,
        token: Callable[[], str] | None = None,
        concurrency: int = CONCURRENCY,
        idle: float = IDLE,
    ) -> None:
        self.http = HttpClient(
            connect_timeout=connect_timeout,
            request_timeout=request_timeout,
            max_answer=MAX_ANSWER,
            tls=tls,
            idle=idle,
        )
        self._limiter = trio.Semaphore(concurrency)
        self._https: dict[str, str] = {}  # daemons that want HTTPS: address to address
        self._token = token
        self._guarded: set[str] = set()  # daemons that want the token
        self._secured: set[str] = set()  # those that wanted HTTPS once

    async def __aenter__(self) -> "Upstream":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; takes a second at most, also when cancelled."""
        await self.http.aclose()

    async def get(self, address: str, path: str, params: Params | None = None) -> Any:
        """The JSON that the daemon at ``address`` answers to a GET.

        Raises:
            UpstreamError: it did not answer in time, or answered anything but 200 with JSON.
        """
        return await self.read(address, path, params, lambda raw: raw)

    async def read(
        self, address: str, path: str, params: Params | None, reader: Callable[[Any], T]
    ) -> T:
        """What ``reader`` makes of the JSON that the daemon at ``address`` answers to a GET.

        Large answers are decoded and read in a thread: ``reader`` must be pure.

        Raises:
            UpstreamError: it did not answer in time, or answered anything but 200 with JSON; or
                ``reader`` raised it.
        """
        body = await self._request("GET", address, path, params)
        try:
            if len(body) <= LARGE:
                return reader(decode(body))
            return await trio.to_thread.run_sync(
                lambda: reader(decode(body, yielding=True)), limiter=_threads()
            )
        except JsonError as error:
            reason = f"no JSON: {error}"
        except RuntimeError as error:  # no thread can be started
            reason = str(error)
        raise UpstreamError(address, f"GET {_url(address, path)}: {reason}")

    async def post(self, address: str, path: str, params: Params | None = None) -> None:
        """Do an action at the daemon at ``address``.

        Raises:
            UpstreamError: it did not answer 200.
        """
        await self._request("POST", address, path, params)

    async def ask(self, address: str, path: str, params: Params) -> Any:
        """Do an action at the daemon at ``address``; the JSON that it answers.

        Raises:
            UpstreamError: it did not answer 200 with JSON.
        """
        body = await self._request("POST", address, path, params)
        try:
            return decode(body)
        except JsonError as error:
            reason = str(error)
        raise UpstreamError(address, f"POST http://{address}{path}: no JSON: {reason}")

    async def fetch(self, address: str, path: str, params: Params) -> bytes:
        """The body that the daemon at ``address`` answers to a GET.

        Raises:
            UpstreamError: it did not answer 200.
        """
        return await self._request("GET", address, path, params)

    async def send(self, address: str, path: str, params: Params, body: bytes) -> None:
        """Send ``body`` to the daemon at ``address`` with a POST.

        Raises:
            UpstreamError: it did not answer 200.
        """
        await self._request("POST", address, path, params, body)

    async def put(self, address: str, path: str, params: Params, body: bytes) -> None:
        """Send ``body`` to the daemon at ``address``.

        Raises:
            UpstreamError: it did not answer 200.
        """
        await self._request("PUT", address, path, params, body)

    async def probe(
        self,
        address: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Probe:
        """Whatever the daemon at ``address`` answers to a GET, an error status included.

        Args:
            headers: sent in place of the token.

        Raises:
            UpstreamError: it did not answer in time.
        """
        answer = await self._ask("GET", address, path, None, headers=headers)
        return Probe(answer.status, answer.body, answer.headers.get("date", ""))

    def is_encrypted(self, address: str) -> bool:
        """Whether the daemon at ``address`` was asked over HTTPS last."""
        return address.startswith("https://") or address in self._https

    async def _request(
        self,
        method: str,
        address: str,
        path: str,
        params: Params | None,
        content: bytes | None = None,
    ) -> bytes:
        answer = await self._ask(method, address, path, params, content)
        if answer.status != 200:
            shown = answer.body[:200].decode("utf-8", "replace")
            text = f"{method} {_url(address, path)}: got response {answer.status} {shown!r}"
            if answer.status == 401:
                text += self._advice(address)
            raise UpstreamError(address, text, status=answer.status)
        return answer.body

    async def _ask(
        self,
        method: str,
        address: str,
        path: str,
        params: Params | None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """One answer, over HTTPS where the daemon wants that."""
        secure = self._https.get(address)
        answer = await self._send(method, address, secure, path, params, content, headers)
        if answer.status == 403 and secure is None and (https := _https_port(answer.body)):
            secure = self._https[address] = join_host_port(host_of(address), https)
            self._secured.add(address)
            answer = await self._send(method, address, secure, path, params, content, headers)
        return answer

    def _advice(self, address: str) -> str:
        if self._token is None:
            return " (it wants a token: see the option for a token file)"
        return " (the token is not one that it knows)" if address in self._guarded else ""

    async def _send(
        self,
        method: str,
        address: str,
        secure: str | None,
        path: str,
        params: Params | None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """One request; with the token if it is wanted, unless there are ``headers``."""
        url = f"https://{secure}{path}" if secure else _url(address, path)
        try:
            async with self._limiter:
                shown = self._credential(address, url) if headers is None else headers
                answer = await self.http.request(
                    method, url, params=params, headers=shown, body=content
                )
                if answer.status == 401 and headers is None and not shown and self._token:
                    self._guarded.add(address)
                    shown = self._credential(address, url)
                    if shown:
                        answer = await self.http.request(
                            method, url, params=params, headers=shown, body=content
                        )
                return answer
        except RequestFailed as error:
            self._https.pop(address, None)
            self._guarded.discard(address)
            reason, late = str(error), error.late
        raise UpstreamError(address, f"{method} {url}: {reason}", late=late)

    def _credential(self, address: str, url: str) -> dict[str, str]:
        """The header for a daemon that has asked for a token."""
        if self._token is None or address not in self._guarded:
            return {}
        if address in self._secured and not url.startswith("https://"):
            return {}  # somebody in between would like to have it in the clear
        return {"Authorization": f"Bearer {self._token()}"}


def _url(address: str, path: str) -> str:
    return f"{address}{path}" if address.startswith("https://") else f"http://{address}{path}"


def _https_port(body: bytes) -> int:
    """Where a daemon that refuses plain HTTP (``--tls-required``) wants to be asked, or 0."""
    try:
        refusal = decode(body)
    except JsonError:
        return 0
    return port(refusal, "https_port") if isinstance(refusal, dict) else 0


@cache
def _threads() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(1)  # more would only share the interpreter


async def ask_all(
    kind: str,
    addresses: Sequence[str],
    ask: Callable[[str], Awaitable[T]],
    *,
    need_one: bool = True,
) -> Answer[list[tuple[str, T]]]:
    """Every daemon's answer to the same question, with its address, in the order of ``addresses``.

    Args:
        need_one: raise `AllFailed` unless at least one answers; also if none is asked.
    """
    answers: dict[int, tuple[str, T]] = {}
    failures: dict[int, UpstreamError] = {}

    async def one(index: int, address: str) -> None:
        try:
            answers[index] = (address, await ask(address))
        except UpstreamError as error:
            # without its traceback
            kept = UpstreamError(error.address, str(error), status=error.status, late=error.late)
            failures[index] = kept

    async with trio.open_nursery() as nursery:
        for index, address in enumerate(addresses):
            nursery.start_soon(one, index, address)
    ordered = tuple(failures[index] for index in sorted(failures))
    if need_one and len(ordered) == len(addresses):
        raise AllFailed(kind, ordered)
    return Answer([answers[index] for index in sorted(answers)], ordered)
