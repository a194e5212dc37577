"""How commands that publish and consume connect to nsqds: over TLS, with a secret."""

import argparse

import nsqclient
from nsqctl.shared.credentials import tls_of, token_of


def connection_options(given: argparse.Namespace) -> nsqclient.ConnectionOptions:
    """TLS where the options say whom to trust; the token is the secret of AUTH. Raises BadToken."""
    return nsqclient.ConnectionOptions(tls=tls_of(given) or False, auth_secret=token_of(given))
