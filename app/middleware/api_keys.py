"""Who may call: API keys, of which the service knows only the hashes.

A keys file has one key a line: the sha256 of the key in hex, then, for people, whose it is. Empty lines and those that
begin with # are skipped. Whoever reads the file learns no key; a key must be long and random, for its hash has no salt.
"""

import hmac
import re
from hashlib import sha256
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Unauthorized

_SHA256 = re.compile(r"[0-9a-f]{64}")


class KeysError(ValueError):
    """A keys file that cannot be used; the message names file, line and cause."""


def read_keys(path: Path) -> list[bytes]:
    """Return the hashes in a keys file; raises KeysError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    digests = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        digest = line.split()[0].lower()
        if not _SHA256.fullmatch(digest):
            raise KeysError(f"{path}, line {number}: no sha256 of a key in hex; make one with sha256sum")
        digests.append(bytes.fromhex(digest))
    if not digests:
        raise KeysError(f"{path} has no keys, so nobody could call")
    return digests


class ApiKeys:
    """Let nobody in without a key, but for the open paths.

    digests: sha256 of every key. A key comes as `Authorization: Bearer KEY` or `X-API-Key: KEY`.
    """

    def __init__(self, app: ASGIApp, digests: list[bytes], open_paths: frozenset[str]) -> None:
        self.app = app
        self.digests = digests
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self.open_paths and not self._knows(_offered_key(scope)):
            raise Unauthorized("Send a key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.")
        await self.app(scope, receive, send)

    def _knows(self, key: bytes) -> bool:
        offered = sha256(key).digest()
        # Every hash is compared, and each in constant time, so that the time tells nothing.
        return any([hmac.compare_digest(digest, offered) for digest in self.digests])


def _offered_key(scope: Scope) -> bytes:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
