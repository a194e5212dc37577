"""An OpenID Connect provider, as its discovery document and its keys tell it.

The authorization code flow with PKCE: `begin` makes the URL that a browser is sent to, `redeem`
exchanges the code for an ID token and checks it: signature, issuer, audience, times and nonce. Keys
are asked for again when a token names one that is not known, at most every `KEYS_AGE` seconds, so
that rotation needs nobody. `end` makes the URL that logs a browser out at the provider, too.

Spec: OpenID Connect Core 1.0 (3.1, 3.1.3.7), Discovery 1.0 (3, 4), RP-Initiated Logout 1.0 (2);
RFC 7636; RFC 9207 (iss).
"""

import base64
import hashlib
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

import trio

from nsqcore.classes import define, field, frozen
from nsqcore.errors import NsqError
from nsqcore.http.client import HttpClient, RequestFailed
from nsqcore.json import JsonError, decode
from nsqcore.late import load
from nsqcore.units import SECOND

# Seconds that clocks may differ.
LEEWAY = 60
KEYS_AGE = 10
# Seconds for which a provider that failed is not asked again.
FAILURE_AGE = 3
_METADATA_AGE = 3600
# What a header may carry of an address that others tell.
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")
# Servers refuse URLs of more than 8 kB, and groups may make a token that long.
_LONGEST_HINT = 6000


class OidcError(NsqError):
    """The provider cannot be used, or what it or a browser says is not right."""


class Rejected(OidcError):
    """The provider does not do what it was asked: it does not know us, or the code."""


@frozen
class Flow:
    """One login under way. ``verifier`` and ``nonce`` are secrets of ours."""

    nonce: str
    verifier: str = field(repr=False)
    redirect_uri: str = ""
    following: str = ""


@frozen
class Redeemed:
    """An ID token that is right, and what it claims."""

    claims: Mapping[str, Any]
    token: str = field(repr=False)


class Keys(Protocol):
    """What a provider signs with: `nsqadmin.auth.oidc.signatures`."""

    def claims(self, token: str) -> Mapping[str, Any]:
        """What a JWT claims that one of the keys has signed. Raises ValueError."""


@define(eq=False, repr=False)
class Provider:
    """The provider at ``issuer``. ``now`` is the monotonic clock, ``wall`` Unix time, in ns."""

    issuer: str
    client_id: str
    secret: Callable[[], str]
    http: HttpClient
    now: Callable[[], int]
    wall: Callable[[], int]
    scopes: str = "openid profile"
    _metadata: Mapping[str, Any] = field(factory=dict)
    _metadata_until: int = 0
    _failure: str = ""
    _failure_until: int = 0
    _asking: trio.Lock = field(factory=trio.Lock)
    _keys: Keys | None = None
    _keys_at: int = 0

    def use_tls(self, context: ssl.SSLContext | None) -> None:
        """Ask the provider with ``context`` from now on, at once even if it failed with another."""
        self.http.tls = context
        self._failure_until = 0

    async def begin(self, flow: Flow, state: str) -> str:
        """The URL to send a browser to. Raises OidcError."""
        metadata = await self._discover()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": flow.redirect_uri,
            "scope": self.scopes,
            "state": state,
            "nonce": flow.nonce,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        endpoint = _endpoint(metadata, "authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def end(self, token: str, back: str) -> str:
        """The URL that ends a browser's login at the provider; empty where it has none.

        Args:
            token: the ID token of that login.
            back: where the provider leads afterwards.

        Raises:
            OidcError: the provider cannot be asked.
        """
        metadata = await self._discover()
        if "end_session_endpoint" not in metadata:
            return ""
        endpoint = _endpoint(metadata, "end_session_endpoint")
        query = {"client_id": self.client_id, "post_logout_redirect_uri": back}
        if len(token) <= _LONGEST_HINT:
            query["id_token_hint"] = token
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    @property
    def end_origin(self) -> str:
        """Scheme, host and port of where logins end, as the provider has told last."""
        endpoint = self._metadata.get("end_session_endpoint")
        parts = urlsplit(endpoint if isinstance(endpoint, str) else "")
        origin = f"{parts.scheme}://{parts.netloc}"
        return origin if _ORIGIN.fullmatch(origin) else ""

    async def redeem(self, flow: Flow, code: str) -> Redeemed:
        """The ID token that ``code`` is exchanged for. Raises OidcError."""
        metadata = await self._discover()
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "code_verifier": flow.verifier,
        }
        secret = self.secret()
        methods = metadata.get("token_endpoint_auth_methods_supported")
        pairs: list[str] = []
        if not secret:
            fields["client_id"] = self.client_id
        elif isinstance(methods, list) and "client_secret_basic" not in methods:
            fields |= {"client_id": self.client_id, "client_secret": secret}
        else:
            # RFC 6749, 2.3.1, wants both encoded as in forms, and some servers want neither.
            pairs = [f"{quote(self.client_id, safe='')}:{quote(secret, safe='')}"]
            pairs += [plain for plain in (f"{self.client_id}:{secret}",) if plain not in pairs]
        answer = await self._exchange(_endpoint(metadata, "token_endpoint"), fields, pairs)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OidcError("the provider sent no ID token")
        return Redeemed(await self.verify(token, flow.nonce), token)

    async def _exchange(
        self, endpoint: str, fields: Mapping[str, str], pairs: Sequence[str]
    ) -> Mapping[str, Any]:
        """The answer to ``fields``, with the first of ``pairs`` that is not rejected."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(fields).encode()
        for number, pair in enumerate(pairs, 1):
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            try:
                return await self._ask("POST", endpoint, headers, body)
            except Rejected:
                if number == len(pairs):
                    raise
        return await self._ask("POST", endpoint, headers, body)

    async def verify(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that is right. Raises OidcError."""
        await self._discover()
        keys = self._keys or await self._load_keys()
        try:
            claims = keys.claims(token)
        except ValueError as error:
            # perhaps it was signed with a key that is newer than ours
            if self.now() - self._keys_at < KEYS_AGE * SECOND:
                raise OidcError(f"the ID token is not signed as it should be: {error}") from None
            claims = await self._decode_again(token)
        check_claims(
            claims, issuer=self.issuer, client_id=self.client_id, nonce=nonce, now=self.wall()
        )
        return claims

    async def _decode_again(self, token: str) -> Mapping[str, Any]:
        keys = await self._load_keys()
        try:
            return keys.claims(token)
        except ValueError as error:
            raise OidcError(f"the ID token is not signed as it should be: {error}") from None

    async def _discover(self) -> Mapping[str, Any]:
        # Anybody may begin a login: all of them together ask one question at a time.
        async with self._asking:
            if self._metadata and self.now() < self._metadata_until:
                return self._metadata
            if self._failure and self.now() < self._failure_until:
                raise OidcError(self._failure)
            try:
                return await self._ask_metadata()
            except OidcError as error:
                self._failure = str(error)
                self._failure_until = self.now() + FAILURE_AGE * SECOND
                raise

    async def _ask_metadata(self) -> Mapping[str, Any]:
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        metadata = await self._ask("GET", url)
        if metadata.get("issuer") != self.issuer:
            raise OidcError(f"{url} is about the issuer {metadata.get('issuer')!r}")
        self._metadata = metadata
        self._metadata_until = self.now() + _METADATA_AGE * SECOND
        return metadata

    async def _load_keys(self) -> Keys:
        raw = await self._ask("GET", _endpoint(self._metadata, "jwks_uri"))
        listed = raw.get("keys")
        signing_keys = load("nsqadmin.auth.oidc.signatures:signing_keys")
        try:
            keys: Keys = signing_keys(listed if isinstance(listed, list) else [])
        except ValueError as error:
            raise OidcError(f"the provider's keys cannot be read: {error}") from None
        self._keys, self._keys_at = keys, self.now()
        return keys

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Mapping[str, Any]:
        sent = {"Accept": "application/json", **(headers or {})}
        try:
            answer = await self.http.request(method, url, headers=sent, body=body or None)
            raw = decode(answer.body) if answer.status == 200 else None
        except (RequestFailed, JsonError) as error:
            raise OidcError(f"{method} {url}: {error}") from None
        if not isinstance(raw, dict):
            kind = Rejected if answer.status in (400, 401, 403) else OidcError
            raise kind(f"{method} {url}: got response {answer.status}")
        return raw


def _endpoint(metadata: Mapping[str, Any], name: str) -> str:
    url = metadata.get(name)
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        raise OidcError(f"the provider tells no {name}")
    return url


def check_claims(
    claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, now: int
) -> None:
    """Check an ID token as OpenID Connect Core 3.1.3.7 says; ``now`` is Unix time in ns.

    Raises:
        OidcError: it is not for us, not of this login, or too old.
    """
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != issuer:
        raise OidcError("the ID token is of another issuer")
    if client_id not in audiences:
        raise OidcError("the ID token is for another audience")
    if claims.get("azp", client_id) != client_id or (len(audiences) > 1 and "azp" not in claims):
        raise OidcError("the ID token is for another party")
    if not nonce or claims.get("nonce") != nonce:
        raise OidcError("the ID token is of another login")
    seconds = now // SECOND
    if _time(claims, "exp") <= seconds - LEEWAY:
        raise OidcError("the ID token is not valid any more")
    started = [name for name in ("iat", "nbf") if name == "iat" or name in claims]
    if any(_time(claims, name) > seconds + LEEWAY for name in started):
        raise OidcError("the ID token is not valid yet")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise OidcError("the ID token names nobody")


def _time(claims: Mapping[str, Any], name: str) -> float:
    at = claims.get(name)
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise OidcError(f"the ID token has no time in {name}")
    return at
