"""GET / and what the page there is made of: files of app/web, read once at the start."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.openapi import READ_MEDIA_TYPES
from app.api.options import Parameters
from app.settings import LimitsSettings

WEB = Path(__file__).parent.parent / "web"
# Files with an address of their own. A service worker serves only what lies below its own address.
_ADDRESSES = {"index.html": "/", "service-worker.js": "/service-worker.js"}
SERVICE_ADDRESS = "/web/service.json"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
# The page loads its own files and shows pictures it holds itself; nothing inline, nothing from elsewhere.
# The one policy of trusted types is for the service worker's address.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dmsr"
)


@dataclass(frozen=True)
class WebFile:
    """Hold a file of the page and the headers it is served with."""

    data: bytes
    media_type: str
    headers: dict[str, str]


def web_file(data: bytes, suffix: str) -> WebFile:
    """Give data of this kind the headers of the page."""
    # Always asked for anew, and mostly answered by 304: a new version of the service is seen at once.
    headers = {
        "ETag": f'"{sha256(data).hexdigest()[:16]}"',
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
    }
    return WebFile(data, _MEDIA_TYPES[suffix], headers)


def paths() -> dict[str, Path]:
    """Return the address of each file of the page."""
    files = (path for path in sorted(WEB.rglob("*")) if path.is_file())
    return {_ADDRESSES.get(path.name, f"/web/{path.relative_to(WEB).as_posix()}"): path for path in files}


def open_paths() -> set[str]:
    """Return every address that needs no key, like /livez: nothing there is anyone's own."""
    return paths().keys() | {SERVICE_ADDRESS}


def router(limits: LimitsSettings) -> APIRouter:
    """Build the routes: the page at /, its parts under /web/, and what the service takes."""
    routes = APIRouter(include_in_schema=False)
    for address, path in paths().items():
        add(routes, address, web_file(path.read_bytes(), path.suffix))
    told = limits.model_dump(include={"body_bytes", "pixels", "side"})
    told |= {"reads": READ_MEDIA_TYPES, "options": list(Parameters.model_fields)}
    add(routes, SERVICE_ADDRESS, web_file(json.dumps(told).encode(), ".json"))
    return routes


def add(routes: APIRouter, address: str, file: WebFile) -> None:
    """Serve a file at an address, or say that the caller has it already."""

    @routes.api_route(address, methods=["GET", "HEAD"])
    async def serve(request: Request) -> Response:
        if file.headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=file.headers)
        return Response(file.data, headers=file.headers, media_type=file.media_type)
