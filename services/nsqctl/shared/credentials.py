"""What a command shows to daemons that ask for it."""

import argparse
import os
from collections.abc import Callable

from nsqcore.access.presented import TokenFile, token_in
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
