"""A minimal OpenID Connect provider, which signs real tokens."""

import base64
import hashlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.fakes.fake_http import Answer, Asked, FakeServer

from nsqcore.units import SECOND

CLIENT, SECRET = "nsqadmin", "s3cret/+"
KEYS = [RSAKey.generate_key(2048, {"kid": f"key-{n}", "use": "sig"}) for n in range(2)]


@attrs.define(eq=False)
class FakeProvider:
    """Lets everybody in as ``claims`` say, once they have been sent to it."""

    claims: dict[str, Any] = attrs.field(factory=dict)  # over those that are right
    key: RSAKey = attrs.field(default=KEYS[0])  # that signs
    published: list[RSAKey] = attrs.field(factory=lambda: [KEYS[0]])
    algorithm: str = "RS256"
    issuer: str = ""  # that its document tells, if it is another than its own
    codes: dict[str, dict[str, str]] = attrs.field(factory=dict)
    server: FakeServer | None = None
    knows: tuple[bytes, ...] = (b"nsqadmin:s3cret%2F%2B",)  # clients, as they come
    more: dict[str, Any] = attrs.field(factory=dict)  # in its document
    forge: Callable[[str], object] = str  # what comes of a token

    @property
    def url(self) -> str:
        """Its issuer."""
        assert self.server is not None
        return f"{'https' if self.server.tls else 'http'}://{self.server.address}"

    def approve(self, url: str) -> dict[str, str]:
        """Somebody logs in at ``url``, where we had sent them; the query they come back with."""
        query = dict(parse_qsl(urlsplit(url).query))
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return {"code": code, "state": query["state"], "iss": self.url}

    def answer(self, asked: Asked) -> Answer:
        """Answer as a provider does."""
        match asked.path:
            case "/.well-known/openid-configuration":
                return 200, {
                    "issuer": self.issuer or self.url,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys",
                } | self.more
            case "/keys":
                return 200, {"keys": [key.as_dict(private=False) for key in self.published]}
            case "/token":
                return self._token(asked)
        return 404, {"error": "not_found"}

    def _token(self, asked: Asked) -> Answer:
        form = dict(parse_qsl(asked.body.decode()))
        given = base64.b64decode(asked.headers.get("authorization", "").removeprefix("Basic "))
        if given not in self.knows:
            return 401, {"error": "invalid_client"}
        begun = self.codes.pop(form["code"], None)
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        proof = base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
        if (
            begun is None
            or proof != begun["code_challenge"]
            or form["redirect_uri"] != begun["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "a", "id_token": self.forge(self.sign(begun["nonce"]))}

    def sign(self, nonce: str) -> str:
        """An ID token."""
        now = time.time_ns() // SECOND
        claims = {
            "iss": self.url, "aud": CLIENT, "sub": "u-17", "nonce": nonce, "iat": now,
            "exp": now + 300, "preferred_username": "ann", "groups": ["ops"],
        } | self.claims  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.key.kid}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])
