"""`python -m bench.loadgen MODE --server HOST:PORT --topic T …`: one job, one JSON line.

The flags of a mode are the fields of its job class.
"""

import argparse
import json
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from bench.loadgen.consume import ConsumeJob, consume
from bench.loadgen.dial import DialJob, dial
from bench.loadgen.idle import IdleJob, idle
from bench.loadgen.latency import LatencyJob, measure_latency
from bench.loadgen.publish import PublishJob, publish
from bench.loadgen.register import RegisterJob, register
from bench.loadgen.web import WebJob, browse
from bench.loadgen.wire import LoadError

MODES: dict[str, tuple[type, Callable[[Any], dict[str, Any]]]] = {
    "publish": (PublishJob, publish),
    "consume": (ConsumeJob, consume),
    "latency": (LatencyJob, measure_latency),
    "idle": (IdleJob, idle),
    "dial": (DialJob, dial),
    "register": (RegisterJob, register),
    "web": (WebJob, browse),
}


def flag_type(field: "attrs.Attribute[Any]") -> Callable[[str], Any]:
    """What turns a flag's text into the field's value."""
    if field.type is bool:
        return lambda text: text == "true"
    if field.type is float:
        return float
    return str if field.type is str else int


def parse(argv: Sequence[str]) -> tuple[str, Any]:
    """The mode and its job."""
    parser = argparse.ArgumentParser(prog="bench.loadgen", description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    for name, (job, _) in MODES.items():
        mode = modes.add_parser(name, help=(job.__doc__ or "").splitlines()[0])
        for field in attrs.fields(job):
            mode.add_argument(
                "--" + field.name.replace("_", "-"),
                type=flag_type(field),
                default=field.default,
                required=field.default is attrs.NOTHING,
            )
    arguments = vars(parser.parse_args(argv))
    mode_name = arguments.pop("mode")
    return mode_name, MODES[mode_name][0](**arguments)


def allow_many_sockets() -> None:
    """Raise the limit of open files as far as it goes: a crowd needs thousands."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Run one job; 1 when the server did something wrong."""
    mode, job = parse(sys.argv[1:])
    allow_many_sockets()
    try:
        result = MODES[mode][1](job)
    except (LoadError, OSError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({**result, "cpu": used.ru_utime + used.ru_stime}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
