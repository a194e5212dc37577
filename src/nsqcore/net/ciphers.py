"""What a TLS connection agreed on, in the words of the statistics.

OpenSSL names the suites of TLS 1.2 and before in its own way (``ECDHE-RSA-AES128-SHA``); NSQ
shows the registered names (``TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA``).
"""

import re

_KEY_EXCHANGE = re.compile(r"(ECDHE-ECDSA|ECDHE-RSA|DHE-RSA|DHE-DSS|ECDHE-PSK|DHE-PSK|PSK|ADH)-")
_PARTS = [
    # Counter modes say so; the others are CBC, which OpenSSL leaves out.
    (re.compile(r"(AES|CAMELLIA|ARIA)(\d+)-(GCM|CCM8?)"), r"\1_\2_\3"),
    (re.compile(r"(AES|CAMELLIA)(\d+)-(SHA\d*)"), r"\1_\2_CBC_\3"),
    (re.compile(r"CHACHA20-POLY1305$"), "CHACHA20_POLY1305_SHA256"),
    (re.compile(r"DES-CBC3-SHA"), "3DES_EDE_CBC_SHA"),
    (re.compile(r"RC4-"), "RC4_128_"),
]


def suite_name(name: str) -> str:
    """The registered name of the cipher suite that OpenSSL calls ``name``."""
    if name.startswith("TLS_"):
        return name
    found = _KEY_EXCHANGE.match(name)
    exchange = found[1] if found else "RSA"
    rest = name[found.end() :] if found else name
    for pattern, replacement in _PARTS:
        rest = pattern.sub(replacement, rest)
    return f"TLS_{exchange}_WITH_{rest}".replace("-", "_")


def version_name(version: str | None) -> str:
    """``TLS1.3`` for what OpenSSL calls ``TLSv1.3``."""
    return {"TLSv1": "TLS1.0"}.get(version or "", (version or "").replace("TLSv", "TLS"))
