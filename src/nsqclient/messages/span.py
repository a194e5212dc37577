"""What a hook wraps round a publish or the handling of a message, such as a span of a trace."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from nsqclient.core.log import RateLimited
from nsqcore.classes import define

_failed = RateLimited("nsqclient: the hook %s failed: %r")


@define(eq=False, repr=False)
class Span:
    """A context that has been entered, if there is one. What it raises changes nothing.

    ``value`` is what it gave when it was entered, ``hook`` the name of who made it.
    """

    _around: AbstractContextManager[object] | None = None
    hook: str = ""
    value: object = None

    def end(self, error: BaseException | None) -> None:
        """Leave it, with the error that the handling ended with."""
        around, self._around = self._around, None
        if around is not None:
            trace = None if error is None else error.__traceback__
            try:
                around.__exit__(None if error is None else type(error), error, trace)
            except Exception as raised:
                if raised is not error:
                    _failed.warning(self.hook, raised, exc_info=raised)


NO_SPAN = Span()


def begin_span(hook: str, make: Callable[[], AbstractContextManager[object]]) -> Span:
    """The context that ``make`` gives, entered; ``hook`` is named if it fails."""
    try:
        around = make()
        value = around.__enter__()
    except Exception as error:
        _failed.warning(hook, error, exc_info=error)
        return NO_SPAN
    return Span(around, hook, value)
