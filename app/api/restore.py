"""POST /derain and POST /dehaze: one picture in, one picture out."""

import asyncio
import contextlib
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, TypeVar

from fastapi import APIRouter, Header, Query, Request
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.api.body import is_json, read_upload
from app.api.file_names import answer_name, disposition
from app.api.openapi import PICTURE_IN, PICTURE_OUT, RestoredJson, failures
from app.api.options import Parameters, wants_json
from app.api.progress import Running, caller_of
from app.errors import Draining, InvalidParameter, MethodNotAllowed, NotFound, Warming, causes
from app.imaging.encode import OUT_FORMATS
from app.pipeline import Pipeline, Restored, RestoreTrace
from app.settings import QueueSettings
from app.telemetry.metrics import STAGES
from model.checkpoints.checkpoint import TASKS
from model.inference.scales import name_scales

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
            for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
                if count > 1:
                    raise InvalidParameter(f"{name[:80]} stands {count} times in the query.", parameter=name[:80])
            accept = ", ".join(request.headers.getlist("accept"))
            seconds = x_request_timeout or times.deadline_seconds
            parameters.restore_options(task, seconds, accept)  # refuses before the body is read
            with running.follow(caller_of(request), request.state.request_id) as trace:
                upload = await read_upload(request)
                parameters = parameters.with_fields(upload.fields)
                options, name = parameters.restore_options(task, seconds, accept), upload.filename
                work = pipeline.restore(upload.picture, options, trace)
                del upload  # the body is to go when it is decoded
                request.state.trace = trace
                restored = await _unless_disconnected(request, work)
            filename = answer_name(name, task, parameters.output, restored.format)
            headers = {"X-DMSR-Weights": signatures[task], **_report(trace, restored)}
            if wants_json(accept, is_json(request)):
                return await _in_json(restored, filename, headers)
            headers["Content-Disposition"] = disposition(filename)
            return Response(restored.data, headers=headers, media_type=OUT_FORMATS[restored.format].media_type)

    for task in TASKS:
        add(task)
    return routes


def _report(trace: RestoreTrace, restored: Restored) -> dict[str, str]:
    """Say in headers where the time went and how much the network changed."""
    stages = [f"{stage};dur={1000 * trace.seconds[stage]:.1f}" for stage in STAGES if stage in trace.seconds]
    report = {
        "Server-Timing": ", ".join(stages),
        "X-DMSR-Scale": name_scales(trace.scales or ()),
        "X-DMSR-Change": f"mean={restored.mean_change}, max={restored.max_change}",
    }
    return report | ({"X-DMSR-Warning": " ".join(restored.warnings)} if restored.warnings else {})


async def _in_json(restored: Restored, filename: str, headers: Mapping[str, str]) -> Response:
    """Answer with the picture in base64, for clients that can take nothing else."""
    answer = RestoredJson(
        data="",
        media_type=OUT_FORMATS[restored.format].media_type,
        filename=filename,
        warnings=list(restored.warnings),
        mean_change=restored.mean_change,
        max_change=restored.max_change,
    )
    # A large picture takes tens of milliseconds, which the event loop does not have.
    encoded = await asyncio.to_thread(b64encode, restored.data)
    frame = answer.model_dump_json().encode()
    head = b'{"data":"'
    return Response(head + encoded + frame[len(head) :], headers=dict(headers), media_type="application/json")


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
