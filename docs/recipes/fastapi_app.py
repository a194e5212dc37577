"""FastAPI: a producer for as long as the application runs, and a consumer beside it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI, HTTPException, Request, Response

import nsqclient

NSQD = os.environ.get("NSQD", "127.0.0.1:4150")


async def handle(message: nsqclient.Message) -> None:
    print("order", message.body.decode(), flush=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with (
        nsqclient.open_producer(NSQD) as app.state.producer,
        nsqclient.open_consumer("orders", "billing", nsqd=NSQD) as app.state.consumer,
    ):
        task = asyncio.create_task(app.state.consumer.run(handle, concurrency=10))
        yield
        app.state.consumer.stop()  # what is in hand is finished
        await task


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=202)
async def order(request: Request) -> Response:
    try:
        with anyio.fail_after(2):
            await request.app.state.producer.publish("orders", await request.body())
    except nsqclient.PublishError as error:
        raise HTTPException(422, error.code) from error
    except (nsqclient.ClientError, TimeoutError) as error:
        raise HTTPException(503, "try again") from error
    return Response(status_code=202)


@app.get("/health")
async def health(request: Request, response: Response) -> list[str]:
    state = request.app.state
    parts = [state.producer.health(), state.consumer.health()]
    response.status_code = 200 if all(part.ok for part in parts) else 503
    return [problem for part in parts for problem in part.problems]
