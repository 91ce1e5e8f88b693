"""The picture out of a request's body: raw bytes, a form with the part named `file`, or JSON with it in base64.

Forms are parsed in memory, because a part that is spooled to a temporary folder fails on a read-only file system.
"""

import asyncio
import binascii
import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.multipart import parse_options_header

from app.errors import CompressedBody, MalformedRequest

FIELD = "file"
DATA = "data"
# A form of ours has a part for the picture and one for each option. Each costs microseconds, and a body has room for
# millions; the same goes for the members of a JSON object.
MAX_PARTS = 16
MAX_FIELD_BYTES = 4096
# RFC 2046, section 5.1.1.
MAX_BOUNDARY_BYTES = 70
# Bounds of what is searched before a part, in the line of a boundary and in the head of a part; and how often the
# boundary may stand in a picture, which a client's choice of it prevents.
_PREAMBLE_BYTES, _LINE_BYTES, _HEAD_BYTES, _MOST_LOOKALIKES = 4096, 256, 8192, 64
_JSON_PARTS = b"{[,:"
_URL_ENCODED = re.compile(rb"[\w.~%+*-]{1,64}=")
_URL_SAFE, _SPACE = bytes.maketrans(b"-_", b"+/"), b" \t\r\n\v\f"
_LARGE_BYTES = 1 << 20
_SEARCHED_CHARACTERS = 64


@dataclass(frozen=True)
class Upload:
    """Hold what came: the encoded picture, the name its file had, and options that came beside it in the body."""

    picture: bytes = field(repr=False)
    filename: str = ""
    fields: dict[str, object] = field(default_factory=dict)


def is_json(request: Request) -> bool:
    """Tell whether the body is a JSON object."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


async def read_upload(request: Request) -> Upload:
    """Read the whole body and return what is in it; raises MalformedRequest or CompressedBody with the remedy."""
    for coding in ",".join(request.headers.getlist("content-encoding")).lower().split(","):
        if coding.strip() not in ("", "identity"):
            raise CompressedBody(
                f"The body has Content-Encoding: {coding.strip()[:40]}. Pictures are compressed already: send the "
                "file as it is, without this header.",
                observed=coding.strip()[:40],
            )
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind == b"multipart/form-data" and not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise MalformedRequest(
            f"The Content-Type multipart/form-data has no boundary of 1 to {MAX_BOUNDARY_BYTES} characters.",
            limit=MAX_BOUNDARY_BYTES,
            observed=len(boundary),
        )
    if kind.startswith(b"multipart/") and kind != b"multipart/form-data":
        raise MalformedRequest(f"The body is {kind.decode('latin-1')[:40]}; a form is multipart/form-data.")
    # Not request.body(), which would keep the whole form beside the part taken out of it.
    body = b"".join([chunk async for chunk in request.stream()])
    if not body:
        raise MalformedRequest(
            f"The body is empty; send the picture's bytes, or a form with a file field named '{FIELD}'."
        )
    if kind == b"multipart/form-data":
        return await _beside_the_loop(_read_form, body, boundary)
    if kind == b"application/x-www-form-urlencoded" and _URL_ENCODED.match(body):
        raise MalformedRequest(
            f"The form holds text alone. Send it as multipart/form-data, with a file field named '{FIELD}', or the "
            "picture's bytes as the body."
        )
    return await _beside_the_loop(_read_json, body) if is_json(request) else Upload(body)


async def _beside_the_loop(read: Callable[..., Upload], body: bytes, *more: bytes) -> Upload:
    """Parse a large body in a thread: 32 MB take tens of milliseconds."""
    return await asyncio.to_thread(read, body, *more) if len(body) > _LARGE_BYTES else read(body, *more)


def _read_form(body: bytes, boundary: bytes) -> Upload:
    """Take the part of the picture and the options out of a form."""
    pictures, names = [], []
    fields: dict[str, object] = {}
    for headers, content in list(_parts(body, boundary)):  # all first: too many is the first thing to say
        for coding in (
            headers.get(header, b"").lower() for header in (b"content-transfer-encoding", b"content-encoding")
        ):
            if coding not in (b"", b"binary", b"8bit", b"7bit", b"identity"):
                named = coding.decode("latin-1")[:40]
                raise CompressedBody(f"A part of the form is encoded as {named}. Send it as it is.", observed=named)
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        names.append(name[:40])
        if name == FIELD:
            pictures.append((options.get(b"filename", b"").decode("utf-8", "replace"), content))
        elif name in fields:
            raise MalformedRequest(f"The form has several parts named '{name[:40]}'.")
        else:
            fields[name] = bytes(content[:MAX_FIELD_BYTES]).decode("utf-8", "replace")
    if not pictures:
        raise MalformedRequest(f"The form has no part named '{FIELD}'; it has: {', '.join(names) or 'none'}.")
    full = [(filename, content) for filename, content in pictures if len(content)]
    if not full:
        raise MalformedRequest(f"No file was chosen: the part named '{FIELD}' is empty.")
    if len(full) > 1:
        raise MalformedRequest(f"The form has {len(full)} parts named '{FIELD}'; send one picture a request.")
    ((filename, content),) = full
    return Upload(bytes(content), filename, fields)


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[dict[bytes, bytes], memoryview]]:
    """Yield the headers and the content of each part of a multipart body (RFC 2046, section 5.1.1).

    Written here because python-multipart, on which Starlette's form parser stands, is as fast for a picture (0.04 s of
    CPU for 30 MB) but not bounded: 6 MB of what is nearly the boundary hold the event loop for 1.7 s, here for 3 ms.
    """
    view, delimiter = memoryview(body), b"\r\n--" + boundary
    at = 0 if body.startswith(delimiter[2:]) else body.find(delimiter, 0, _PREAMBLE_BYTES) + 2
    if at == 1:
        raise MalformedRequest("The multipart body cannot be read: it does not begin with its boundary.")
    at += len(delimiter) - 2
    for _ in range(MAX_PARTS + 1):
        if body.startswith(b"--", at):
            return
        begin = body.find(b"\r\n", at, at + _LINE_BYTES)
        if body.startswith(b"\n", at):
            raise MalformedRequest("The multipart body cannot be read: its lines end in LF, where HTTP has CRLF.")
        if begin < 0 or body[at:begin].strip(b" \t"):
            raise _torn(body, at)
        # Without headers, the empty line follows the boundary's own line at once.
        stop = body.find(b"\r\n\r\n", begin, begin + _HEAD_BYTES)
        if stop < 0:
            raise _torn(body, begin)
        end = _next_delimiter(body, delimiter, stop + 2)
        lines = [line.partition(b":") for line in body[begin:stop].split(b"\r\n") if line]
        yield {name.strip().lower(): value.strip() for name, _, value in lines}, view[min(stop + 4, end) : end]
        at = end + len(delimiter)
    raise MalformedRequest(f"The form has more than {MAX_PARTS} parts.", limit=MAX_PARTS)


def _next_delimiter(body: bytes, delimiter: bytes, at: int) -> int:
    """Return where the next delimiter line begins; the boundary with more behind it is content."""
    for _ in range(_MOST_LOOKALIKES):
        at = body.find(delimiter, at)
        if at < 0:
            break
        after = at + len(delimiter)
        if body.startswith((b"--", b"\r\n", b" ", b"\t"), after):
            return at
        at = after
    raise _torn(body, len(body)) if at < 0 else MalformedRequest("The form's boundary stands inside its parts.")


def _torn(body: bytes, at: int) -> MalformedRequest:
    if at + _HEAD_BYTES >= len(body):
        return MalformedRequest("The form is cut off: the body ended before its last boundary.")
    return MalformedRequest("The multipart body cannot be read: a part has no head.")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object of its members; silence on one that stands there twice would mean the last."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedRequest(f"The JSON object has several members named '{twice[:40]}'.")
    return members


def _read_json(body: bytes) -> Upload:
    """Read {"data": "<base64>", "filename": "…", and options}."""
    # Before parsing: a list of millions would take gigabytes. Base64 has none of these characters.
    if sum(body.count(part) for part in _JSON_PARTS) > 8 * MAX_PARTS:
        raise MalformedRequest(f"The JSON object has far more members than the {MAX_PARTS} there can be.")
    try:
        members = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("The body says it is JSON and cannot be read as such.") from error
    if not isinstance(members, dict) or not isinstance(members.get(DATA), str):
        raise MalformedRequest(f"The JSON body must be an object with the picture in base64 as '{DATA}'.")
    text = members.pop(DATA)
    if text[:_SEARCHED_CHARACTERS].lstrip().lower().startswith("data:"):
        text = text.partition(",")[2]
    try:
        encoded = text.encode("ascii").translate(_URL_SAFE, _SPACE)
        picture = b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise MalformedRequest(f"'{DATA}' is not base64.") from error
    if not picture:
        raise MalformedRequest(f"'{DATA}' is empty.")
    filename = members.pop("filename", "")
    return Upload(picture, filename if isinstance(filename, str) else "", members)
