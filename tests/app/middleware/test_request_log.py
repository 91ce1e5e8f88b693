"""What a stranger's request can make operators see."""

import asyncio

import pytest
from structlog.testing import capture_logs

from app.middleware.request_log import RequestLog
from app.telemetry.metrics import Metrics


def line_of(path, status):
    """Answer a request with a status and return its line in the log, and the metrics."""
    metrics = Metrics(["derain"])

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        pass

    scope = {"type": "http", "method": "OPTIONS", "path": path, "headers": []}
    with capture_logs() as lines:
        asyncio.run(RequestLog(app, metrics)(scope, None, send))
    return lines[0], metrics.registry


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (204, "ok"), (400, "request"), (404, "request"), (499, "cancelled"), (500, "internal")],
)
def test_a_foreign_preflight_is_no_fault_of_ours(status, outcome):
    """The middleware for other origins answers it with a plain 400, which no failure stands behind."""
    line, registry = line_of("/derain", status)
    assert line["outcome"] == outcome
    assert registry.get_sample_value("dmsr_requests_total", {"task": "derain", "outcome": outcome}) == 1


def test_a_long_address_is_cut_in_the_log():
    line, _ = line_of("/" + "a" * 60_000, 404)
    assert line["path"] == "/" + "a" * 255
