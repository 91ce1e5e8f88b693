"""Serve's own failures, of an ingress that died or was swamped, as the problem documents our callers know.

RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=deploy.ray.proxy:middlewares, set where Ray is started, puts it in place.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.errors import DmsrError, Overloaded, Warming
from app.middleware.safe_headers import SafeHeaders


def problems(app: ASGIApp) -> ASGIApp:
    """Pass the service's answers with one request id each, and answer where Serve has nothing, or its own words."""

    async def judged(scope: Scope, receive: Receive, send: Send) -> None:
        # Until an answer comes: for a request whose ingress died there is none.
        failure: DmsrError | None = Warming("What held the request is gone; its successor starts.")

        async def judging(message: Message) -> None:
            nonlocal failure
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = headers.get("x-request-id", "")  # Serve adds a second one
                if message["status"] < 429 or "x-content-type-options" in headers:  # as in all answers of the service
                    failure = None
                elif message["status"] == 429:
                    failure = Overloaded("There are too many callers at once.", retry_after_seconds=5)
            if not failure or scope["type"] != "http":
                await send(message)

        await app(scope, receive, judging)
        if failure and scope["type"] == "http":
            response = problem_response(failure, request_id := Headers(scope=scope).get("x-request-id", ""))
            response.headers["x-request-id"] = request_id
            await response(scope, receive, send)

    return judged


def middlewares() -> list[Middleware]:
    """List what goes around Serve's proxy, from the inside out."""
    return [Middleware(problems), Middleware(SafeHeaders)]
