"""Who may call: API keys, of which the service knows only the hashes.

A keys file has one key a line: the sha256 of the key in hex, then, for people, whose it is. Empty lines and those that
begin with # are skipped. Whoever reads the file learns no key; a key must be long and random, for its hash has no salt.
"""

import hmac
import math
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import TooManyWrongKeys, Unauthorized
from app.middleware.caller_limit import address_of

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OF_NOTHING = sha256(b"").digest()
# The file is asked whether it has changed at most so often.
_RELOAD_SECONDS = 1.0
_LOCKED_SECONDS = 60.0
# Those of whom nothing has been heard for the longest time are forgotten.
_MOST_ADDRESSES = 4096

_log = structlog.get_logger()


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
        if digests[-1] == _OF_NOTHING:
            raise KeysError(f"{path}, line {number}: the sha256 of an empty key, with which everyone could call")
    if not digests:
        raise KeysError(f"{path} has no keys, so nobody could call")
    return digests


class KeysFile:
    """Know the hashes in a keys file, and learn of changes while the service runs.

    A changed file that cannot be used is told of in the log, and the keys stay as they were. Raises KeysError for the
    first reading. clock: monotonic seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._digests = read_keys(path)
        self._seen, self._asked_at = self._state(), clock()
        if path.stat().st_mode & stat.S_IWOTH:
            _log.warning("every user of this machine can write the keys file", path=str(path), remedy="chmod o-w")

    def digests(self) -> list[bytes]:
        """Return the sha256 of every key."""
        now = self._clock()
        if now - self._asked_at >= _RELOAD_SECONDS:
            self._asked_at, before, self._seen = now, self._seen, self._state()
            if self._seen != before:
                try:
                    self._digests = read_keys(self._path)
                    _log.info("keys read anew", keys=len(self._digests))
                except KeysError as error:
                    _log.error("the keys stay as they were", error=str(error))
        return self._digests

    def _state(self) -> tuple[int, ...]:
        """Return what differs between a file and its successor."""
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass
class _Tries:
    """Count the wrong keys of an address since a point in time, and know the hashes of those that were right there."""

    since: float
    wrong: int = 0
    right: set[bytes] = field(default_factory=set)


class WrongKeys:
    """Bound how many keys may be guessed: after so many wrong ones an address shows no further key for a minute.

    A key that was right from an address before stays right there: behind one address may be many who do no harm.
    limit: 0 for any number. clock: monotonic seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._tries: dict[str, _Tries] = {}

    def note(self, address: str, digest: bytes, right: bool) -> None:
        """Count a key; raises TooManyWrongKeys if it may not count, be it right or wrong."""
        if not self._limit:
            return
        now = self._clock()
        tries = self._tries.pop(address) if address in self._tries else _Tries(now)
        self._tries[address] = tries  # at the end of the line
        if len(self._tries) > _MOST_ADDRESSES:
            del self._tries[next(iter(self._tries))]
        if now - tries.since >= _LOCKED_SECONDS:
            tries.since, tries.wrong = now, 0
        if tries.wrong >= self._limit and not (right and digest in tries.right):
            seconds = max(math.ceil(tries.since + _LOCKED_SECONDS - now), 1)
            raise TooManyWrongKeys(
                f"Too many wrong keys came from your address. Try again in {seconds} s.", retry_after_seconds=seconds
            )
        if right:
            tries.right.add(digest)
            return
        tries.wrong += 1
        if tries.wrong == self._limit:
            tries.since = now
            _log.warning("too many wrong keys", address=address, seconds=_LOCKED_SECONDS)


class ApiKeys:
    """Let nobody in without a key, but for the open paths.

    A key comes as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Its hash becomes the request's `caller`.
    """

    def __init__(self, app: ASGIApp, keys: KeysFile, wrong_keys: WrongKeys, open_paths: frozenset[str]) -> None:
        self.app = app
        self.keys = keys
        self.wrong_keys = wrong_keys
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            key = _offered_key(scope)
            digest = sha256(key).digest()
            if scope["path"] not in self.open_paths:
                known = self._knows(digest)
                if key:
                    self.wrong_keys.note(address_of(scope), digest, known)
                if not known:
                    raise Unauthorized("Send a key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.")
            scope.setdefault("state", {})["caller"] = digest.hex()
        await self.app(scope, receive, send)

    def _knows(self, offered: bytes) -> bool:
        # Every hash is compared, and each in constant time, so that the time tells nothing.
        return any([hmac.compare_digest(digest, offered) for digest in self.keys.digests()])


def _offered_key(scope: Scope) -> bytes:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
