"""GET /livez, /readyz and /metrics: for supervisors and Prometheus."""

from collections.abc import Callable

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from app.telemetry.metrics import CONTENT_TYPE, Metrics


def router(readiness: Callable[[], str], metrics: Metrics) -> APIRouter:
    """Build the routes; readiness returns "ready", or the word for why not."""
    routes = APIRouter()

    @routes.get("/livez", response_class=PlainTextResponse)
    async def livez() -> Response:
        return PlainTextResponse("alive\n")

    @routes.get("/readyz", response_class=PlainTextResponse)
    async def readyz() -> Response:
        state = readiness()
        return PlainTextResponse(f"{state}\n", 200 if state == "ready" else 503)

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def scrape() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return routes
