"""What a hook wraps round the handling of a message, such as a span of a trace."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from attrs import define

from nsqclient.core.log import RateLimited

_failed = RateLimited("nsqclient: the hook handling failed: %r")


@define(eq=False)
class Span:
    """A context that has been entered, if there is one. What it raises changes nothing."""

    _around: AbstractContextManager[object] | None = None

    def end(self, error: BaseException | None) -> None:
        """Leave it, with the error that the handling ended with."""
        around, self._around = self._around, None
        if around is not None:
            trace = None if error is None else error.__traceback__
            try:
                around.__exit__(None if error is None else type(error), error, trace)
            except Exception as raised:
                if raised is not error:
                    _failed.warning(raised, exc_info=raised)


NO_SPAN = Span()


def begin_span(make: Callable[[], AbstractContextManager[object]]) -> Span:
    """The context that ``make`` gives, entered."""
    try:
        around = make()
        around.__enter__()
    except Exception as error:
        _failed.warning(error, exc_info=error)
        return NO_SPAN
    return Span(around)
