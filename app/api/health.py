"""GET /livez, /readyz and /metrics: for supervisors and Prometheus."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from app.api.openapi import failures
from app.telemetry.metrics import CONTENT_TYPE, Metrics

# The state of this moment is of no use to a cache.
_FRESH = {"Cache-Control": "no-store"}
# Where whoever supervises the service asks, with no key.
OPEN_PATHS = frozenset(("/livez", "/readyz"))
METRICS_PATH = "/metrics"
_OPEN: dict[str, list[str]] = {"security": []}
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"description": "Not ready, and why.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


def router(readiness: Callable[[], str], metrics: Metrics) -> APIRouter:
    """Build the routes; readiness returns "ready", or the word for why not."""
    routes = APIRouter(tags=["service"])

    @routes.get("/livez", response_class=PlainTextResponse, openapi_extra=_OPEN)
    async def livez() -> Response:
        """Tell that the process lives."""
        return PlainTextResponse("alive\n", headers=_FRESH)

    @routes.get("/readyz", response_class=PlainTextResponse, openapi_extra=_OPEN, responses=_NOT_READY)
    async def readyz() -> Response:
        """Tell whether the service takes work: `ready`, `warming`, `draining`, `device lost` or `codecs stuck`."""
        state = readiness()
        return PlainTextResponse(f"{state}\n", 200 if state == "ready" else 503, _FRESH)

    @routes.get(METRICS_PATH, response_class=PlainTextResponse, responses=failures())
    async def scrape() -> Response:
        """Tell Prometheus everything; docs/metrics.md says what it means."""
        return Response(metrics.render(), headers=_FRESH, media_type=CONTENT_TYPE)

    return routes
