"""The signals that end a command which runs until it is told to stop."""

import signal


def stop_signals() -> list[signal.Signals]:
    """What ends it; what was ignored when nsqctl began stays so, as under nohup."""
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]
