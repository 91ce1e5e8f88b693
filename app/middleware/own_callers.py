"""Refuse what a web page makes a browser send here without anybody's consent.

A page of any site may post to http://127.0.0.1:8000 from the browser of whoever looks at it, and so spend their GPU.
And by a name of its own that it lets point at 127.0.0.1 a page may even read the answer.
"""

from collections.abc import Collection
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Forbidden

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def allowed_hosts(host: str, hosts: str) -> frozenset[str] | None:
    """Return the names a request may be for: those of the setting, or this machine's on a loopback address; else any.

    host: the address that the service listens on. hosts: names with commas between; `*` for any.
    """
    names = frozenset(name.strip().lower() for name in hosts.split(",") if name.strip())
    if names:
        return None if "*" in names else names
    return frozenset(LOOPBACK) if _is_loopback(host) else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class OwnCallers:
    """Let through what is for this service by name, and what no page of another site has posted.

    hosts: the names it has; None for any. origins: those whose pages may post all the same; `*` for all.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, origins: Collection[str]) -> None:
        self.app = app
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers: dict[bytes, bytes] = dict(scope["headers"])
            host = _without_port(headers.get(b"host", b"").decode("latin-1").lower())
            if self._hosts is not None and host not in self._hosts:
                raise Forbidden(
                    f"This service is not called {host[:80]!r}. Its operator can allow the name by DMSR_SERVER_HOSTS."
                )
            origin = headers.get(b"origin", b"").decode("latin-1")
            foreign = headers.get(b"sec-fetch-site") == b"cross-site"
            if foreign and scope["method"] == "POST" and not {origin, "*"} & set(self._origins):
                raise Forbidden("A page of another site may not send pictures here, unless DMSR_CORS_ORIGINS names it.")
        await self.app(scope, receive, send)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host
