"""GET / and what the page there is made of: files of app/web, read once at the start."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

WEB = Path(__file__).parent.parent / "web"
_INDEX = "index.html"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
# The page loads its own files and shows pictures it holds itself; nothing inline, nothing from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


@dataclass(frozen=True)
class _File:
    """Hold a file of the page and the headers it is served with."""

    data: bytes
    media_type: str
    headers: dict[str, str]


def _read(path: Path) -> _File:
    data = path.read_bytes()
    # Always asked for anew, and mostly answered by 304: a new version of the service is seen at once.
    headers = {
        "ETag": f'"{sha256(data).hexdigest()[:16]}"',
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY,
    }
    return _File(data, _MEDIA_TYPES[path.suffix], headers)


def paths() -> dict[str, Path]:
    """Return every address of the page and its file; like /livez they need no key: they hold nothing of anyone's."""
    return {"/" if path.name == _INDEX else f"/web/{path.name}": path for path in sorted(WEB.iterdir())}


def router() -> APIRouter:
    """Build the routes: the page at /, its parts under /web/."""
    routes = APIRouter(include_in_schema=False)

    def add(address: str, file: _File) -> None:
        @routes.api_route(address, methods=["GET", "HEAD"])
        async def serve(request: Request) -> Response:
            if file.headers["ETag"] in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=file.headers)
            return Response(file.data, headers=file.headers, media_type=file.media_type)

    for address, path in paths().items():
        add(address, _read(path))
    return routes
