"""A request's id, its line in the log and its place in the metrics."""

import re
import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry.metrics import Metrics
from model.checkpoints.checkpoint import TASKS
from model.inference.scales import name_scales

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Version, trace, parent, flags; versions above 00 may add more. All zeros and version ff are invalid.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
# Addresses of ours are shorter; a stranger's may have 60,000 characters.
_LOGGED_CHARACTERS = 256
_QUIET = ("/livez", "/readyz", "/metrics")

_log = structlog.get_logger()


class RequestLog:
    """Give each request an id, and when it has ended one line in the log and its place in the metrics."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        offered = headers.get(b"x-request-id", "")
        request_id = offered if _WELL_FORMED.fullmatch(offered) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status, gone, accounted = 0, False, False
        started = complete = answered = time.perf_counter()

        async def noting_receive() -> Message:
            nonlocal complete, gone
            message = await receive()
            if message["type"] == "http.disconnect":
                gone = True
            elif not message.get("more_body", False):
                complete = time.perf_counter()
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], time.perf_counter()
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            elif not message.get("more_body", False):
                account()  # before the last byte, so that whoever has the answer finds its line in the log
            await send(message)

        def account() -> None:
            nonlocal accounted
            if not accounted:
                accounted = True
                self._account(scope, status, time.perf_counter() - started, answered - complete)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id, **trace(headers.get(b"traceparent", "")))
        try:
            await self.app(scope, noting_receive, send_with_id)
        finally:
            if not status:  # nobody was answered: the caller left, or an exception is on its way to becoming a 500
                status, answered = 499 if gone else 500, time.perf_counter()
            account()

    def _account(self, scope: Scope, status: int, seconds: float, answer_seconds: float) -> None:
        """Log and count an ended request; answer_seconds from its complete body to its answer's first byte."""
        trace, failure = scope["state"].get("trace"), scope["state"].get("failure")
        task = scope["path"].removeprefix("/")
        outcome = failure.category if failure else _outcome(status)
        details = {"outcome": outcome}
        if task in TASKS:
            details["task"] = task
            stages = trace.seconds if trace else {}
            refusal, tiles = failure.refusal if failure else None, trace.tiles if trace else 0
            self.metrics.request_ended(task, outcome, answer_seconds, stages, refusal, tiles)
            if outcome == "ok" and trace and trace.scales is not None:
                self.metrics.picture_restored(task, trace.scales)
                details["scale"] = name_scales(trace.scales)
        if trace:
            details["size"] = f"{trace.width}x{trace.height}"
            details["tiles"] = trace.tiles
            details["stages"] = {name: round(spent, 4) for name, spent in trace.seconds.items()}
        if failure:
            details["problem"] = failure.slug
        write = _log.debug if scope["path"] in _QUIET else _log.info
        write(
            "request",
            method=scope["method"],
            path=scope["path"][:_LOGGED_CHARACTERS],
            status=status,
            seconds=round(seconds, 4),
            **details,
        )


def trace(traceparent: str) -> dict[str, str]:
    """Read the caller's trace and span out of a W3C traceparent header; {} if it is not one."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return {"trace_id": found[1], "parent_id": found[2]} if found else {}


def _outcome(status: int) -> str:
    if status == 499:
        return "cancelled"
    if status < 400:
        return "ok"
    return "request" if status < 500 else "internal"
