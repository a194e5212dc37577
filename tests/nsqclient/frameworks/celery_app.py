"""An app of Celery that notes in a file what its tasks do."""

import os
import threading
from datetime import datetime

from celery import Celery, Task

import nsqclient.kombu

assert nsqclient.kombu  # it makes the address known

app = Celery("app", broker=os.environ["BROKER"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"max_defer": 0.4},  # nsqd has to defer again and again
)


def note(line: str) -> None:
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{line}\n")


@app.task
def told(text: str, due: float = 0.0) -> None:
    early = due and datetime.now().timestamp() < due - 0.05
    note(f"{text} early" if early else text)


@app.task(bind=True, max_retries=3)
def failing(self: Task) -> None:
    note(f"attempt {self.request.retries}")
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)


@app.task
def slow() -> None:
    note("begun")
    if os.environ.get("SLOW"):
        threading.Event().wait(60)
    note("done")
