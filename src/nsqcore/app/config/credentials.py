"""Settings that name what a program shows to daemons."""

import ssl
from typing import Any

from nsqcore.access.presented import BadToken, TokenFile
from nsqcore.app.config.files import existing_file
from nsqcore.app.config.options import OptionsError, option
from nsqcore.tls import client_tls


def token_file_option(whom: str) -> Any:
    """The setting of the file with the token that is shown to ``whom``."""
    return option(
        "", f"file with the token that {whom} may ask for, in its first line; may change any time"
    )


def authorities_option(whom: str) -> Any:
    """The setting of the file with the authorities that vouch for ``whom`` over HTTPS."""
    return option("", f"CA file for HTTPS to {whom}; by default the system's", check=existing_file)


def open_authorities(path: str, flag: str) -> ssl.SSLContext | None:
    """TLS that trusts the authorities in the file at ``path``, which ``flag`` names.

    None for the system's, where there is no path.

    Raises:
        OptionsError: the file cannot be read.
    """
    if not path:
        return None
    try:
        return client_tls(authorities=path)
    except OSError as error:
        raise OptionsError(f"--{flag}: {error}") from None


def open_token(path: str, flag: str) -> TokenFile | None:
    """The token of the file at ``path``, which ``flag`` names; None where there is none.

    Raises:
        OptionsError: there is no token in it.
    """
    if not path:
        return None
    token = TokenFile(path)
    try:
        token.load()
    except BadToken as error:
        raise OptionsError(f"--{flag}: {error}") from None
    return token
