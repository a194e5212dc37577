"""Why a policy is refused."""

from nsqcore.errors import NsqError


class InvalidPolicy(NsqError):
    """It is none; the text names what is wrong and what would be right."""


class AmbiguousPolicy(NsqError):
    """Another policy of the same priority gives a value to the same key of the same names."""


class UnknownPolicy(NsqError):
    """There is no policy of that name."""
