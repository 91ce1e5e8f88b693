"""What the OpenAPI document says beyond what FastAPI can see: the picture in the body, every failure, and the keys."""

import inspect
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from app.api.options import Parameters
from app.api.problems import MEDIA_TYPE, TYPE_PREFIX
from app.errors import DmsrError, InternalError, Unauthorized
from app.imaging.encode import OUT_FORMATS

READ_MEDIA_TYPES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/tiff",
    "image/bmp",
    "image/avif",
    "image/heic",
    "image/jxl",
    "image/gif",
)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
# The query's own parameters, which a form or a JSON object may hold instead.
_OPTIONS = Parameters.model_json_schema()["properties"]
_FORM = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {"file": _BINARY["schema"], **_OPTIONS},
}
_IN_JSON = {
    "type": "object",
    "required": ["data"],
    "additionalProperties": False,
    "properties": {
        "data": {"type": "string", "contentEncoding": "base64", "description": "The picture; a data: URL will do."},
        "filename": {"type": "string"},
        **_OPTIONS,
    },
}


class RestoredJson(BaseModel):
    """Hold a picture in base64: the answer to a request in JSON, or to one that accepts nothing better."""

    data: str
    media_type: str
    filename: str
    warnings: list[str]
    mean_change: float
    max_change: int


PROBLEM = {
    "type": "object",
    "description": "A failure (RFC 9457). Its type never changes; docs/errors.md says what each one means.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["/problems/image-too-large"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people."},
        "request_id": {"type": "string"},
        "limit": {"type": "number", "description": "The limit that was passed."},
        "observed": {"type": ["number", "string"], "description": "The value that passed it, or was wrong."},
        "parameter": {"type": "string", "description": "The parameter or header that was wrong."},
        "retry_after_seconds": {"type": "integer", "description": "When another try makes sense."},
    },
}

PICTURE_IN = {
    "requestBody": {
        "description": "One picture: its bytes, a form with it in the field `file`, or JSON with it in base64. "
        "Its first bytes say what it is. Form and JSON may hold the query's parameters instead of the query.",
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/json": {"schema": _IN_JSON},
            "application/octet-stream": _BINARY,
            **dict.fromkeys(READ_MEDIA_TYPES, _BINARY),
        },
    }
}

PICTURE_OUT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture, as large as it came.",
        "content": {
            **{format.media_type: _BINARY for format in OUT_FORMATS.values()},
            "application/json": {"schema": RestoredJson.model_json_schema()},
        },
        "headers": {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in (
                ("X-Request-ID", "The id of the request, the caller's own if it was well-formed."),
                ("Server-Timing", "Milliseconds at each station of the pipeline."),
                ("X-DMSR-Weights", "Name and short sha256 of the weights: `derain-w16d4; sha256=58fa1086cf63`."),
                ("X-DMSR-Warning", "What was missing, could not be kept or was left as it came; absent if nothing."),
                ("Content-Disposition", "A name for the file, made from the upload's."),
                ("X-DMSR-Scale", "The scales it was restored at: `1`, or `0.5, 0.125`; `none`: no rain was found."),
                ("X-DMSR-Change", "Mean and largest change of a value, in steps of 8 bits: `mean=3.207, max=121`."),
            )
        },
    }
}


# Values of parameters, for the reference and for whoever makes a client out of the document.
_EXAMPLES = {
    "format": "jpeg",
    "quality": 90,
    "metadata": "strip",
    "output": "restored",
    "damaged": "refuse",
    "scale": "auto",
    "strength": 1,
    "x-request-timeout": 120,
    "request_id": "holiday-18",
}


def failures(*kinds: type[DmsrError]) -> dict[int | str, dict[str, Any]]:
    """Document failures, and those that can meet any request, for a route's `responses`."""
    found: dict[int | str, dict[str, Any]] = {}
    always: tuple[type[DmsrError], ...] = (Unauthorized, InternalError)
    for kind in kinds + always:
        answer = found.setdefault(
            kind.status,
            {
                "description": HTTPStatus(kind.status).phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        answer["content"][MEDIA_TYPE]["examples"][kind.slug] = {"summary": kind.title, "value": _example(kind)}
    return found


def install(app: FastAPI, *, keys: bool) -> None:
    """Make the app's OpenAPI document say it all; keys: whether callers need one."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            parts = schema.setdefault("components", {})
            parts.setdefault("schemas", {})["Problem"] = PROBLEM
            parts["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer", "description": "Where the service asks for keys."},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
            }
            if keys:
                schema["security"] = [{"bearer": []}, {"key": []}]
            schema["servers"] = [{"url": "/", "description": "The service that gave this document."}]
            for parameter in _parameters(schema):
                if parameter["name"] in _EXAMPLES:
                    parameter["example"] = _EXAMPLES[parameter["name"]]
            _drop_foreign_failures(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend the document


def _drop_foreign_failures(schema: dict[str, Any]) -> None:
    """Take out the validation errors as FastAPI would answer them: here they are problems like all others."""
    for methods in schema["paths"].values():
        for operation in methods.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)


def _parameters(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in schema["paths"].values():
        for operation in methods.values():
            yield from operation.get("parameters", ())


def _example(kind: type[DmsrError]) -> dict[str, Any]:
    return {
        "type": TYPE_PREFIX + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": (inspect.getdoc(kind) or "").splitlines()[0],
        "request_id": "5d0e8a3b9c7f4e21",
    }
