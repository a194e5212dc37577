"""Lets a request in, or says why not: who asks, for what, and from which page.

A `Guard` is given to a router, which has it look at what each of its routes needs. Where there is
none nothing is looked at. A token is looked up by its hash; only one that the file does not have is
asked for elsewhere, in a task.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from nsqcore.access.browsers import BrowserRules
from nsqcore.access.file import AuthFile, Credentials
from nsqcore.access.roles import Grant, Role, Rule
from nsqcore.access.tokens import MAX_TOKEN, hash_token
from nsqcore.classes import define, field
from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError, Response, json

Ask = Callable[[], Awaitable[Response | None]]
Pending = Callable[[], Awaitable[Grant | None]]
#: Whose a token is, by others than the file; None if nobody's. What they have to be asked for first
#: is awaited.
AskOthers = Callable[[bytes, Request], Grant | Pending | None]

# Requests of which it is remembered that they were let in, and bytes of one of them: most repeat
# each other.
MAX_KNOWN, MAX_KNOWN_LENGTH = 1000, 512

_AUTHORIZATION = b"authorization"
_LENGTH = len(_AUTHORIZATION)
_UNAUTHORIZED = "UNAUTHORIZED"
NO_CREDENTIAL = "a token is needed (Authorization: Bearer …), or a client certificate"
UNKNOWN_TOKEN = "the token is not known here"


@define(eq=False, repr=False, kw_only=True)
class Guard:
    """What is asked of requests.

    Args:
        realm: the daemon, for ``WWW-Authenticate``.
        required: whether credentials are; if not, only ``browsers`` counts.
        file: the tokens and certificates that are known.
        ask_others: asked for a token that the file does not have.
        open_metrics: whether /metrics needs no credential.
        browsers: what is asked of requests that browsers send; None for nothing.
    """

    realm: str
    required: bool = True
    file: AuthFile | None = None
    ask_others: AskOthers | None = None
    open_metrics: bool = False
    browsers: BrowserRules | None = None
    #: Whom the file let in with a header, query and rule, and the credentials that this is true of.
    _let_in: dict[tuple[bytes, bytes, Rule], Grant] = field(factory=dict, init=False, repr=False)
    _of: Credentials | None = field(default=None, init=False, repr=False)

    def check(self, rule: Rule, request: Request) -> Response | Ask | None:
        """The answer to a request that is not let in; None for one that is.

        What cannot be decided at once is to be awaited first: `Ask` is called for that.
        """
        if self.browsers is not None:
            refusal = self.browsers.refusal(request.method, request.target, request.headers)
            if refusal is not None:
                return HttpError(refusal.status, refusal.message, detail=refusal.detail).response()
        if not self.required or rule.role is None or (rule.metrics and self.open_metrics):
            return None
        headers = [
            value
            for name, value in request.headers
            if len(name) == _LENGTH and name.lower() == _AUTHORIZATION
        ]
        if len(headers) > 1:  # which of them counts differs between servers (RFC 9110, 5.3)
            return self._unauthorized(NO_CREDENTIAL)
        if not headers:
            shown = request.peer.names()
            grant = self.file.credentials.of_certificate(shown) if self.file and shown else None
            return self._judge(grant, rule, request, NO_CREDENTIAL)
        header = headers[0]
        if self.file is not None and self._of is not self.file.credentials:
            self._of = self.file.credentials
            self._let_in.clear()
        known = self._let_in.get((header, request.raw_query, rule))
        if known is not None:
            request.grant = known
            return None
        scheme, _, token = header.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token or len(token) > MAX_TOKEN:
            return self._unauthorized(NO_CREDENTIAL)
        found: Grant | Pending | None = None
        if self.file is not None:
            found = self.file.credentials.tokens.get(hash_token(token))
            if found is not None:
                verdict = self._judge(found, rule, request, UNKNOWN_TOKEN)
                if verdict is None and len(header) + len(request.raw_query) <= MAX_KNOWN_LENGTH:
                    self._remember((header, request.raw_query, rule), found)
                return verdict
        if self.ask_others is not None:
            found = self.ask_others(token, request)
        if callable(found):
            return partial(self._ask, found, rule, request)
        return self._judge(found, rule, request, UNKNOWN_TOKEN)

    def _remember(self, key: tuple[bytes, bytes, Rule], grant: Grant) -> None:
        if len(self._let_in) >= MAX_KNOWN:
            self._let_in.clear()
        self._let_in[key] = grant

    async def _ask(self, pending: Pending, rule: Rule, request: Request) -> Response | None:
        return self._judge(await pending(), rule, request, UNKNOWN_TOKEN)

    def _judge(
        self, grant: Grant | None, rule: Rule, request: Request, nobody: str
    ) -> Response | None:
        if grant is None:
            return self._unauthorized(nobody)
        request.grant = grant
        assert rule.role is not None
        channel = request.arg("channel") or ""
        topics: list[str | None] = [None] if rule.every_topic else []
        topics += [request.arg(name) or None for name in rule.topics]
        for topic in topics or [""]:
            if missing := grant.missing(rule.role, topic, channel):
                return forbidden(grant, rule.role, missing)
        return None

    def _unauthorized(self, detail: str) -> Response:
        told = json({"message": _UNAUTHORIZED, "detail": detail}, 401)
        problem = ', error="invalid_token"' if detail is UNKNOWN_TOKEN else ""
        challenge = f'Bearer realm="{self.realm}"{problem}'
        headers = (("WWW-Authenticate", challenge),)
        return Response(401, told.body, told.content_type, headers=headers)


def forbidden(grant: Grant, role: Role, missing: str) -> Response:
    """403, with what ``grant`` lacks to use ``role``."""
    detail = f"{grant.name} may not: it has not {role.value} for {missing}"
    if missing.startswith("role "):
        detail = f"{grant.name} may not: it lacks the {missing}"
    told = json({"message": "FORBIDDEN", "missing": missing, "detail": detail}, 403)
    challenge = f'Bearer error="insufficient_scope", scope="{role.value}"'
    headers = (("WWW-Authenticate", challenge),)
    return Response(403, told.body, told.content_type, headers=headers)


def check_topic(request: Request, role: Role, topic: str) -> Response | None:
    """The refusal of ``request``, let in already, to use ``role`` on one more ``topic``."""
    grant = request.grant
    missing = grant.missing(role, topic, "") if grant is not None else ""
    return forbidden(grant, role, missing) if grant is not None and missing else None
