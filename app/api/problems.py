"""Failures as RFC 9457 problem documents, whatever raised them.

Knows the DmsrError tree and nothing of what happens inside the service.
"""

import json
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.errors import DmsrError, InternalError, InvalidParameter, MalformedRequest, MethodNotAllowed, NotFound

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"

_log = structlog.get_logger()


def problem(error: DmsrError, request_id: str | None) -> dict[str, Any]:
    """Describe a failure as the members of a problem document."""
    return {
        "type": TYPE_PREFIX + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
        **error.extra,
    }


def problem_response(error: DmsrError, request_id: str | None) -> Response:
    """Turn a failure into its HTTP answer."""
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED and "allow" in error.extra:
        headers["Allow"] = error.extra["allow"]
    return Response(json.dumps(problem(error, request_id)), error.status, headers, MEDIA_TYPE)


def from_exception(error: Exception) -> DmsrError:
    """Find the member of our tree that stands for any exception a handler raised."""
    if isinstance(error, DmsrError):
        return error
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return InvalidParameter(f"{name}: {first['msg']}.", parameter=name)
    if isinstance(error, HTTPException):
        if error.status_code == HTTPStatus.NOT_FOUND:
            return NotFound("The addresses of this service are listed at /openapi.json.")
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allow = (error.headers or {}).get("Allow", "")
            return MethodNotAllowed(f"This address takes {allow}.", allow=allow)
        if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return MalformedRequest(f"{error.detail}.")
    return InternalError("The request met a fault of ours, which has been logged under its request id.")


def install(app: FastAPI) -> None:
    """Make every failure of the app's routes a problem document."""

    async def answer(request: Request, error: Exception) -> Response:
        failure = from_exception(error)
        if failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR and failure.__cause__ is not None:
            _log.error("request failed", type=failure.slug, exc_info=failure.__cause__)
        elif isinstance(failure, InternalError):
            _log.error("request failed", type=failure.slug, exc_info=error)
        request.state.failure = failure
        return problem_response(failure, request.state.request_id)

    for kind in (DmsrError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
