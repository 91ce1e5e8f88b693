"""POST /derain and POST /dehaze: one picture in, one picture out."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.body import read_picture
from app.imaging.encode import OUT_FORMATS
from app.pipeline import Passage, Pipeline, Wish
from model.checkpoint import TASKS

T = TypeVar("T")


class ClientGone(Exception):
    """The caller hung up; there is nobody to answer."""


def router(pipeline: Pipeline, deadline_seconds: float) -> APIRouter:
    """Build the routes of every task."""
    routes = APIRouter()

    def add(task: str) -> None:
        @routes.post(f"/{task}", name=task, response_class=Response)
        async def restore(request: Request) -> Response:
            body = await read_picture(request)
            wish = Wish(task, deadline_seconds)
            passage = request.state.passage = Passage()
            try:
                restored = await _unless_disconnected(request, pipeline.restore(body, wish, passage))
            except ClientGone:
                return Response(status_code=499)
            return Response(restored.data, media_type=OUT_FORMATS[wish.format].media_type)

    for task in TASKS:
        add(task)
    return routes


async def _unless_disconnected(request: Request, work: Awaitable[T]) -> T:
    """Await the work, or cancel it as soon as the caller is gone; the body must have been read."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        watching.cancel()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await working
