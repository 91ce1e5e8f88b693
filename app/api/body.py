"""The picture out of a request's body: raw bytes, or the part named `file` of a multipart form.

Parsed in memory, because form parsers that spool to a temporary folder fail on a read-only file system.
"""

import python_multipart
from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from app.errors import MalformedRequest

FIELD = "file"
# A form of ours has one part. Each costs microseconds, and a body has room for millions.
MAX_PARTS = 16


async def read_picture(request: Request) -> bytes:
    """Read the whole body and return the encoded picture in it; raises MalformedRequest with the remedy."""
    # Not request.body(), which would keep the whole form beside the part taken out of it.
    body = b"".join([chunk async for chunk in request.stream()])
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"multipart/form-data":
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedRequest("The Content-Type multipart/form-data has no boundary.")
        body = _file_part(body, boundary)
    if not body:
        raise MalformedRequest("The body is empty; send the picture's bytes, or a form with a file field named 'file'.")
    return body


def _file_part(body: bytes, boundary: bytes) -> bytes:
    """Return the content of the part named FIELD."""
    header_name, header_value, headers = b"", b"", {}
    found: list[bytes] = []
    content: list[memoryview] = []
    names: list[str] = []
    view = memoryview(body)

    def begin() -> None:
        if len(names) == MAX_PARTS:
            raise MalformedRequest(f"The form has more than {MAX_PARTS} parts.", limit=MAX_PARTS)
        headers.clear()
        content.clear()

    def field(data: bytes, start: int, end: int) -> None:
        nonlocal header_name
        header_name += data[start:end]

    def value(data: bytes, start: int, end: int) -> None:
        nonlocal header_value
        header_value += data[start:end]

    def header_end() -> None:
        nonlocal header_name, header_value
        headers[header_name.lower()] = header_value
        header_name, header_value = b"", b""

    def part(_: bytes, start: int, end: int) -> None:
        content.append(view[start:end])

    def end() -> None:
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")[:40]
        names.append(name)
        if name == FIELD:
            found.append(b"".join(content))

    try:
        parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_header_field": field,
                "on_header_value": value,
                "on_header_end": header_end,
                "on_part_data": part,
                "on_part_end": end,
            },
        )
        parser.write(body)
        parser.finalize()
    except MultipartParseError as error:
        raise MalformedRequest(f"The multipart body cannot be read: {error}.") from error
    if not found:
        raise MalformedRequest(f"The form has no part named '{FIELD}'; it has: {', '.join(names) or 'none'}.")
    if len(found) > 1:
        raise MalformedRequest(f"The form has {len(found)} parts named '{FIELD}'; send one picture a request.")
    return found[0]
