"""The root of the suite's errors."""

from collections.abc import Iterator


class NsqError(Exception):
    """The root of every error the suite raises on purpose."""


def reason(error: BaseException) -> str:
    """Why something failed, in one line; a group of errors says what each of them says.

    A group that is the cause of an error follows it: "all attempts failed" is no reason.
    """
    text = "; ".join(dict.fromkeys(_texts(error)))
    if isinstance(error.__cause__, BaseExceptionGroup):
        return f"{text} - {reason(error.__cause__)}"
    return text


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group and in the groups in it; of another error, itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def _texts(error: BaseException) -> Iterator[str]:
    for leaf in leaves(error):
        yield str(leaf) or type(leaf).__name__
