"""Requests as routes know them: an absolute address becomes its path, and HEAD is answered as GET would be.

The server leaves out the body of an answer to HEAD by itself.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

# A proxy's client writes `GET http://host/path`, which every server must take (RFC 9112, section 3.2.2).
_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)


class RequestTarget:
    """Hand on a scope whose path begins with / and whose method is one that routes have."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if found := _ABSOLUTE.match(scope["path"]):
                # In place: the log tells of the path too.
                scope["path"] = scope["path"][found.end() :] or "/"
                scope["raw_path"] = scope["path"].encode("utf-8", "surrogatepass")
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send)
