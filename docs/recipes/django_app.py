"""Django: a producer for each worker process, opened by the first request that needs it."""

import atexit
import os
from contextlib import ExitStack
from functools import cache

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

import nsqclient.sync

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of this example")
django.setup()


@cache
def _producer(process: int) -> nsqclient.sync.Producer:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(nsqclient.sync.open_producer(NSQD))


def producer() -> nsqclient.sync.Producer:
    """That of this process: servers fork after they have loaded the application."""
    return _producer(os.getpid())


@csrf_exempt
@require_POST
def order(request: HttpRequest) -> HttpResponse:
    # within a transaction: transaction.on_commit(lambda: producer().publish("orders", body))
    try:
        producer().publish("orders", request.body, timeout=2)
    except nsqclient.PublishError as error:
        return HttpResponse(error.code, status=422)
    except (nsqclient.ClientError, TimeoutError):
        return HttpResponse("try again", status=503)
    return HttpResponse(status=202)


urlpatterns = [path("orders", order)]
