"""Bound what one caller may have in flight, so that one of them does not take every place.

Knows nothing of what is asked for.
"""

from collections import Counter
from ipaddress import IPv6Address, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Overloaded

# A place comes back when any of the caller's own pictures is done, which only the caller can tell.
_RETRY_SECONDS = 2
# As long as an address can be; a proxy that is trusted may hand on anything.
_MOST_CHARACTERS = 64


def address_of(scope: Scope) -> str:
    """Return the caller's address; of IPv6 the network of 64 bits, of which one household has every address.

    It is the connection's, or behind a proxy that uvicorn trusts the one that the proxy names.
    """
    host = str((scope.get("client") or ("",))[0])[:_MOST_CHARACTERS]
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


class CallerLimit:
    """Let each caller have so many posts in flight, from the head of a request to the end of its answer.

    A caller is a key, or where there are no keys an address.
    """

    def __init__(self, app: ASGIApp, requests: int) -> None:
        self.app = app
        self._most = requests
        self._in_flight: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        caller = scope.get("state", {}).get("caller") or address_of(scope)
        if self._in_flight[caller] >= self._most:
            raise Overloaded(
                f"You have {self._most} pictures in flight, and more are not taken from one caller. "
                f"Try again in {_RETRY_SECONDS} s, or when one of them is done.",
                retry_after_seconds=_RETRY_SECONDS,
                reason="caller",
                limit=self._most,
            )
        self._in_flight[caller] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._in_flight[caller] -= 1
            if not self._in_flight[caller]:
                del self._in_flight[caller]
