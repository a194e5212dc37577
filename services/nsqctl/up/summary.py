"""What `nsqctl up` tells its user: before it starts, and once everything is up."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from nsqctl.up.plan import Plan, UpOptions


def beginning(plan: Plan) -> Iterator[str]:
    """What is being done, and what is not as usual."""
    yield f"Starting {', '.join(member.name for member in plan.members)} …"
    yield from plan.notes


def summary(plan: Plan, options: UpOptions) -> Iterator[str]:
    """Addresses, and what to try."""
    yield ""
    yield "A cluster is up."
    yield ""
    yield f"  nsqlookupd  tcp {plan.lookupd_tcp}   http http://{plan.lookupd_http}"
    for number, (tcp, http) in enumerate(zip(plan.nsqd_tcp, plan.nsqd_http, strict=True), 1):
        yield f"  nsqd-{number}      tcp {tcp}   http http://{http}"
    if plan.shared_http:
        yield f"  publish to  tcp {plan.shared_tcp}   http http://{plan.shared_http}"
    if plan.admin_http:
        yield f"  nsqadmin    http://{plan.admin_http}   <- open this in a browser"
    yield f"  data        {options.data_path.resolve()}"
    yield ""
    yield "Try, in another terminal:"
    yield ""
    publish = plan.shared_http or plan.nsqd_http[0]
    yield f"  curl -d 'hello' 'http://{publish}/pub?topic=greetings'"
    nsq_tail = _command("nsq_tail")
    yield f"  {nsq_tail} --topic=greetings --lookupd-http-address={plan.lookupd_http} -n 1"
    yield f"  curl 'http://{plan.lookupd_http}/lookup?topic=greetings'"
    yield ""
    yield "Ctrl-C stops it; messages that were not consumed are there at the next start."
    yield ""


def _command(name: str) -> str:
    """How to call a program that was installed beside this one."""
    beside = Path(sys.executable).parent / name
    if shutil.which(name) or not beside.exists():
        return name
    with contextlib.suppress(ValueError):
        return str(beside.relative_to(Path.cwd()))
    return str(beside)
