"""``nsqctl token``: a new token, which is told once, and its line of ``--auth-file``."""

import argparse

from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token, make_token


async def print_token(given: argparse.Namespace) -> int:
    """Print a token on the first line, and its entry for ``--auth-file`` on the next."""
    token = make_token()
    print(token)
    print(entry(given.name, given.role, hash_token(token), given.topics))
    return 0
