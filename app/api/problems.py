"""Failures as RFC 9457 problem documents, whatever raised them: the one place where a failure becomes an answer.

Knows the DmsrError tree and nothing of what happens inside the service.
"""

import json
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import DmsrError, InternalError, InvalidParameter, MalformedRequest, MethodNotAllowed, NotFound

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"
# What a caller sent is quoted back to them only so far.
_QUOTED_CHARACTERS = 80

_log = structlog.get_logger()


class Problems:
    """Answer with a problem document whatever a part further in raises.

    Stands inside those middlewares that dress an answer, so that a failure is dressed like any other.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
            return
        except ClientDisconnect:
            return  # there is nobody to answer
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            failure = scope["state"]["failure"] = from_exception(error)
            # 503 and 504 are foreseen; they stand in the request's own line.
            if failure.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                cause = error if isinstance(failure, InternalError) else failure.__cause__
                _log.error("request failed", type=failure.slug, exc_info=cause)
        # The traceback's frames hold the body, and the answer may have to wait.
        failure.__traceback__ = failure.__cause__ = failure.__context__ = None
        await problem_response(failure, scope["state"]["request_id"])(scope, receive, send)


def install(app: FastAPI) -> None:
    """Let the framework's own failures rise to Problems like all others; it must be among the app's middlewares."""

    async def rise(_: Request, error: Exception) -> Response:
        raise error

    for kind in (RequestValidationError, HTTPException):
        app.add_exception_handler(kind, rise)


def problem(error: DmsrError, request_id: str) -> dict[str, Any]:
    """Describe a failure as the members of a problem document."""
    return {
        "type": TYPE_PREFIX + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
        **error.extra,
    }


def problem_response(error: DmsrError, request_id: str) -> Response:
    """Turn a failure into its HTTP answer."""
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if allow := error.extra.get("allow"):
        headers["Allow"] = allow
    return Response(json.dumps(problem(error, request_id)), error.status, headers, MEDIA_TYPE)


def from_exception(error: Exception) -> DmsrError:
    """Find the member of our tree that stands for any exception a part raised."""
    if isinstance(error, DmsrError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid_parameter(error)
    if isinstance(error, HTTPException):
        if error.status_code == HTTPStatus.NOT_FOUND:
            return NotFound("The addresses of this service are listed at /openapi.json.")
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allow = (error.headers or {}).get("Allow", "")
            if allow == "GET":
                allow = "GET, HEAD"
            return MethodNotAllowed(f"This address takes {allow}.", allow=allow)
        if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return MalformedRequest(f"{error.detail}.")
    return InternalError("The request met a fault of ours, which has been logged under its request id.")


def _invalid_parameter(error: RequestValidationError) -> InvalidParameter:
    """Name the first parameter that is wrong, what came and what would be right."""
    first = error.errors()[0]
    # Where it stood, its name, and further in what pydantic tried.
    name, observed = str(first["loc"][1])[:_QUOTED_CHARACTERS], str(first.get("input"))[:_QUOTED_CHARACTERS]
    if first["type"] == "extra_forbidden":
        return InvalidParameter(f"There is no parameter {name!r}.", parameter=name)
    return InvalidParameter(f"{name}: {first['msg']}.", parameter=name, observed=observed)
