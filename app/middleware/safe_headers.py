"""Headers that keep a browser from doing more with an answer than it should."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    b"x-content-type-options": b"nosniff",
    # An answer is a picture or data, never a page; a route that serves a page says itself what that may load.
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
}


class SafeHeaders:
    """Add to every answer the safe headers it does not have."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", []))
                names = {name.lower() for name, _ in own}
                message = {**message, "headers": own + [item for item in _HEADERS.items() if item[0] not in names]}
            await send(message)

        await self.app(scope, receive, safely)
