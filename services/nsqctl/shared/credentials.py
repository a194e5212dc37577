"""What a command shows to daemons that ask for it, and whom of them it trusts."""

import argparse
import os
import ssl
from collections.abc import Callable

from nsqcore.access.presented import TokenFile, token_in
from nsqcore.tls import client_tls
from nsqctl.shared.options import TOKEN_VARIABLE


def token_of(given: argparse.Namespace) -> Callable[[], str] | None:
    """What shows the token, if the command line or the environment has one. Raises BadToken."""
    if given.token_file:
        file = TokenFile(given.token_file)
        file.load()
        return file
    if not os.environ.get(TOKEN_VARIABLE, "").strip():
        return None
    token = token_in(os.environ[TOKEN_VARIABLE], f"${TOKEN_VARIABLE}")
    return lambda: token


def tls_of(given: argparse.Namespace) -> ssl.SSLContext | None:
    """Whom to trust, and the certificate to show; None where the options do not say."""
    if not given.tls_root_ca_file and not given.tls_cert:
        return None
    return client_tls(
        authorities=given.tls_root_ca_file, certificate=given.tls_cert, key=given.tls_key
    )
