"""Tokens against forged forms, signed by itsdangerous with a secret of this process."""

import hashlib
import secrets

from itsdangerous import Signer

from nsqcore.classes import define, field


def _make_signer() -> Signer:
    return Signer(
        secrets.token_bytes(32), salt="nsqadmin.form", key_derivation="hmac",
        digest_method=hashlib.sha256,
    )  # fmt: skip


@define(eq=False, repr=False)
class FormTokens:
    """The tokens of this process's forms."""

    _signer: Signer = field(factory=_make_signer, repr=False)

    def token(self, seed: str) -> str:
        """What a form has to carry for a browser whose cookie holds ``seed``."""
        return self._signer.get_signature(seed).decode()

    def fits(self, seed: str, token: str) -> bool:
        """Whether ``token`` came out of `token` for ``seed``."""
        return bool(seed) and self._signer.verify_signature(
            seed.encode(), token.encode("utf-8", "replace")
        )
