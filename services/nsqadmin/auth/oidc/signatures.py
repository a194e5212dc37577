"""The signatures of ID tokens, by joserfc, which takes 40 ms to load: only who logs in needs it.

Spec: RFC 7515, 7517, 7518, 7519.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from nsqcore.classes import frozen

# Asymmetric ones alone: a token signed with our own secret, or not at all, proves nothing.
ALGORITHMS = ["RS256", "PS256", "ES256", "RS384", "RS512", "ES384"]


class _Limits(JWSRegistry):
    """How large what is signed may be, in bytes, whatever joserfc itself says: somebody may be in
    thousands of groups."""

    max_payload_length = 128_000


@frozen
class SigningKeys:
    """The keys that a provider signs with."""

    keys: KeySet

    def claims(self, token: str) -> Mapping[str, Any]:
        """What a JWT claims that one of the keys has signed. Raises ValueError."""
        try:
            limits = _Limits(algorithms=ALGORITHMS)
            decoded = jwt.decode(token, self.keys, algorithms=ALGORITHMS, registry=limits)
        except JoseError as error:
            raise ValueError(str(error)) from None
        claims: Mapping[str, Any] = decoded.claims
        return claims


def signing_keys(listed: Sequence[object]) -> SigningKeys:
    """Those of a JWK set that may sign. Raises ValueError."""
    usable: list[Any] = [key for key in listed if _may_sign(key)]
    try:
        return SigningKeys(KeySet.import_key_set({"keys": usable}))
    except (JoseError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from None


def _may_sign(key: object) -> bool:
    return isinstance(key, dict) and key.get("kty") in ("RSA", "EC") and key.get("use") != "enc"
