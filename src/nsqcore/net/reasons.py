"""Why a connection or a request failed, in the system's words.

The libraries wrap what the system said, several times, and each puts the address in again in its
own way. No trio here: the client uses it under any event loop.
"""

import os
import ssl


def failure_reason(error: BaseException) -> str:
    """What the system said of ``error`` or the first of its causes that it said something of.

    Where it said nothing, what the error itself says, or its name.
    """
    cause: BaseException | None = error
    while cause is not None:
        # Of several addresses of one host the first says it for all.
        found = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause
        if isinstance(found, ConnectionRefusedError):
            return "connection refused"
        if isinstance(found, ssl.SSLError):
            return str(found)  # its number is OpenSSL's
        if isinstance(found, OSError) and found.strerror:
            # What a name server says has a number below zero.
            number = found.errno or 0
            return os.strerror(number) if number > 0 else found.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
