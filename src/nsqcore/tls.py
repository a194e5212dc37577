"""TLS of a client: whom it trusts and what it shows.

Making a context reads every authority of the system, which takes a tenth of a second: `system_tls`
is made once, and both are to be called before a loop runs or in a thread.
"""

import ssl
from functools import cache


def client_tls(
    *, authorities: str = "", certificate: str = "", key: str = "", verify: bool = True
) -> ssl.SSLContext:
    """A context for connections to servers.

    Args:
        authorities: the file of those to trust; empty for the system's.
        certificate, key: the files of what is shown to servers that ask.
        verify: False trusts everybody.

    Raises:
        OSError: a file cannot be read or holds something else; the text names it.
    """
    try:
        if verify:
            context = ssl.create_default_context(cafile=authorities or None)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    except OSError as error:  # ssl.SSLError is one
        raise OSError(f"failed to read the certificate authority {authorities}: {error}") from error
    if certificate:
        try:
            context.load_cert_chain(certificate, key or None)
        except OSError as error:
            named = f"{certificate} and {key}" if key else certificate
            raise OSError(f"failed to read the client certificate {named}: {error}") from error
    return context


@cache
def system_tls() -> ssl.SSLContext:
    """A context that trusts whom the system trusts."""
    return client_tls()
