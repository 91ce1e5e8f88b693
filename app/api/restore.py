"""POST /derain and POST /dehaze: one picture in, one picture out."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, TypeVar

from fastapi import APIRouter, Header, Query, Request
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.api.body import read_picture
from app.api.openapi import PICTURE_IN, PICTURE_OUT, failures
from app.api.options import Parameters
from app.api.progress import Running
from app.errors import Draining, MethodNotAllowed, NotFound, Warming, causes
from app.imaging.encode import OUT_FORMATS
from app.pipeline import Pipeline, Restored, RestoreTrace
from app.settings import QueueSettings
from app.telemetry.metrics import STAGES
from model.checkpoints.checkpoint import TASKS

T = TypeVar("T")

# All there are, but for those of requests that reach no route.
_FAILURES = failures(*(cause for cause in causes() if cause not in (NotFound, MethodNotAllowed)))


def router(
    pipeline: Pipeline,
    running: Running,
    readiness: Callable[[], str],
    signatures: Mapping[str, str],
    times: QueueSettings,
) -> APIRouter:
    """Build the routes of every task.

    readiness: "warming" while no work may be taken yet, "draining" when no more.
    signatures: what each task's X-DMSR-Weights says.
    """
    routes = APIRouter(tags=["restoration"])
    timeout = Header(
        gt=0,
        le=times.max_deadline_seconds,
        allow_inf_nan=False,
        description=f"Seconds the picture may take once it is here; {times.deadline_seconds:g} if not given.",
    )

    def add(task: str) -> None:
        @routes.post(
            f"/{task}",
            name=task,
            summary=f"{task.capitalize()} one picture.",
            response_class=Response,
            responses=PICTURE_OUT | _FAILURES,
            openapi_extra=PICTURE_IN,
        )
        async def restore(
            request: Request,
            parameters: Annotated[Parameters, Query()],
            x_request_timeout: Annotated[float | SkipJsonSchema[None], timeout] = None,
        ) -> Response:
            if readiness() == "warming":
                raise Warming("The weights are being loaded; /readyz tells when they are.")
            if readiness() == "draining":  # said before the body is read, of which nothing would come
                raise Draining("The service is stopping; another try will reach its successor.")
            accept = ", ".join(request.headers.getlist("accept"))
            options = parameters.restore_options(task, x_request_timeout or times.deadline_seconds, accept)
            with running.follow(request.state.request_id) as trace:
                # Handed on and not kept here: the body is to go when it is decoded.
                work = pipeline.restore(await read_picture(request), options, trace)
                request.state.trace = trace
                restored = await _unless_disconnected(request, work)
            headers = {"X-DMSR-Weights": signatures[task], **_report(trace, restored)}
            return Response(restored.data, headers=headers, media_type=OUT_FORMATS[options.format].media_type)

    for task in TASKS:
        add(task)
    return routes


def _report(trace: RestoreTrace, restored: Restored) -> dict[str, str]:
    """Say in headers where the time went and how much the network changed."""
    stages = [f"{stage};dur={1000 * trace.seconds[stage]:.1f}" for stage in STAGES if stage in trace.seconds]
    return {
        "Server-Timing": ", ".join(stages),
        "X-DMSR-Change": f"mean={restored.mean_change}, max={restored.max_change}",
    }


async def _unless_disconnected(request: Request, work: Awaitable[T]) -> T:
    """Await the work, or cancel it as soon as the caller is gone; the body must have been read."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        watching.cancel()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await working
