"""GET /docs and /problems: the API and its failures for people, drawn from our own OpenAPI document and DmsrError.

FastAPI's page of this kind loads its parts from a CDN, which fails offline and under the page's policy.
"""

import json
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.page import WEB, add, web_file
from app.api.problems import TYPE_PREFIX
from app.errors import DmsrError, NotFound, causes

DOCS = "/docs"
PROBLEMS = TYPE_PREFIX.rstrip("/")
_METHODS = ("get", "post")


def open_paths() -> set[str]:
    """Return every address of the reference, and the document's; none needs a key."""
    return {DOCS, "/openapi.json", PROBLEMS, *(TYPE_PREFIX + kind.slug for kind in causes())}


def router(document: Callable[[], dict[str, Any]]) -> APIRouter:
    """Build the routes: the API at /docs, all problems at /problems, each at the address that is its type.

    document: gives the OpenAPI document, once every route is there.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.api_route(DOCS, methods=["GET", "HEAD"])
    async def docs(request: Request) -> Response:
        page = web_file(reference(document(), str(request.base_url)).encode(), ".html")
        return Response(page.data, headers=page.headers, media_type=page.media_type)

    words = json.loads((WEB / "languages" / "en.json").read_text(encoding="utf-8"))["problems"]
    told = {kind: _problem(kind, words.get(kind.slug, [""])[0]) for kind in causes()}
    lead = "<p>Every answer that is not a picture is one of these, as a problem document (RFC 9457).</p>"
    add(routes, PROBLEMS, web_file(_page("Problems", lead + "".join(told.values()), "./").encode(), ".html"))
    for kind, text in told.items():
        body = text + f'<p><a href="../{PROBLEMS[1:]}">All problems</a></p>'
        add(routes, TYPE_PREFIX + kind.slug, web_file(_page(kind.title, body, "../").encode(), ".html"))

    @routes.api_route(TYPE_PREFIX + "{slug}", methods=["GET", "HEAD"])
    async def unknown(slug: str) -> Response:
        raise NotFound("There is no problem of this name; /problems lists those there are.")

    return routes


def reference(document: dict[str, Any], base: str) -> str:
    """Draw an OpenAPI document as a page; base: the address of the service, with a slash at its end."""
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    ]
    toc = "".join(
        f'<li><a href="#{escape(operation["operationId"])}"><b>{method.upper()}</b> {escape(path)}</a></li>'
        for path, method, operation in operations
    )
    lead = (
        f"<p>{escape(document['info']['description'])} Version {escape(document['info']['version'])}. For machines: "
        f'<a href="openapi.json">openapi.json</a>. Failures: <a href="{PROBLEMS[1:]}">problems</a>.</p>'
    )
    body = "".join(_operation(document, base, *operation) for operation in operations)
    return _page("API", f"{lead}{_keys(document)}<nav><ol>{toc}</ol></nav>{body}", "./")


def _keys(document: dict[str, Any]) -> str:
    if document.get("security"):
        return _text("This service asks for a key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`.")
    return _text("This service asks for no key.")


def _operation(document: dict[str, Any], base: str, path: str, method: str, operation: dict[str, Any]) -> str:
    keyed = bool(operation.get("security", document.get("security")))
    parts = [
        f'<section id="{escape(operation["operationId"])}"><h2><b>{method.upper()}</b> {escape(path)}</h2>',
        _text(operation.get("description") or operation.get("summary", "")),
    ]
    if body := operation.get("requestBody"):
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in body["content"])
        parts.append(f"<h3>Body</h3>{_text(body.get('description', ''))}<p>{kinds}</p>")
    if parameters := operation.get("parameters"):
        rows = "".join(_row(*_parameter(parameter)) for parameter in parameters)
        parts.append(f"<h3>Parameters</h3>{_table(('Name', 'Values', 'Meaning'), rows)}")
    rows = "".join(_row(*cells) for cells in _answers(operation))
    parts.append(f"<h3>Answers</h3>{_table(('Status', 'Type', 'Meaning'), rows)}")
    parts.append(
        f'<h3>Example</h3><pre tabindex="0">{escape(_curl(base, path, method, operation, keyed))}</pre></section>'
    )
    return "".join(parts)


def _parameter(parameter: dict[str, Any]) -> tuple[str, str, str]:
    schema = parameter["schema"]
    if "enum" in schema:
        values = ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    else:
        bounds = {"from": schema.get("minimum", schema.get("exclusiveMinimum")), "to": schema.get("maximum")}
        told = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
        values = escape(" ".join([schema.get("type", "text"), *told]))
    if schema.get("default") is not None:
        values += f"; <code>{escape(str(schema['default']))}</code> if not given"
    place = "" if parameter["in"] == "query" else f" <small>{escape(parameter['in'])}</small>"
    meaning = parameter.get("description", schema.get("description", ""))
    return f"<code>{escape(parameter['name'])}</code>{place}", values, _code(meaning)


def _answers(operation: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each answer's cells: its status, its media types or problems, and what it means."""
    for status, answer in sorted(operation["responses"].items()):
        problems = [name for content in answer.get("content", {}).values() for name in content.get("examples", {})]
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in answer.get("content", {}))
        links = ", ".join(f'<a href="{PROBLEMS[1:]}/{escape(name)}">{escape(name)}</a>' for name in problems)
        headers = "".join(
            f"<br><code>{escape(name)}</code> {_code(header.get('description', ''))}"
            for name, header in answer.get("headers", {}).items()
        )
        yield escape(status), links or kinds, _code(answer["description"]) + headers


def _curl(base: str, path: str, method: str, operation: dict[str, Any], keyed: bool) -> str:
    address = base.rstrip("/") + path
    query = [
        f"{parameter['name']}={parameter['example']}"
        for parameter in operation.get("parameters", [])
        if parameter["name"] in ("format", "quality")
    ]
    for parameter in operation.get("parameters", []):
        address = address.replace(f"{{{parameter['name']}}}", str(parameter.get("example", "")))
    key = ' -H "X-API-Key: $KEY"' if keyed else ""
    if method == "get":
        return f'curl{key} "{address}"'
    plain = f'curl{key} -F file=@photo.jpg "{address}" -o clean.png'
    return f'{plain}\ncurl{key} --data-binary @photo.jpg "{address}?{"&".join(query)}" -o clean.jpg' if query else plain


def _problem(kind: type[DmsrError], remedy: str) -> str:
    meaning = _text((kind.__doc__ or "").strip().split("\n\n")[0])
    meaning += _text(f"On the page it reads: {remedy}." if remedy else "")
    return (
        f'<section id="{kind.slug}"><h2>{escape(kind.title)}</h2><p><code>{TYPE_PREFIX}{kind.slug}</code> '
        f"· status {kind.status}</p>{meaning}</section>"
    )


def _page(title: str, body: str, root: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)} · DMSR</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="{root}web/pictures/icon.svg" type="image/svg+xml">'
        f'<link rel="stylesheet" href="{root}web/base.css">'
        f'<link rel="stylesheet" href="{root}web/reference.css"></head>'
        f'<body><header><a href="{root}"><img src="{root}web/pictures/icon.svg" alt="" width="26" height="26"> DMSR</a>'
        f'<a href="{root}{DOCS[1:]}">API</a><a href="{root}{PROBLEMS[1:]}">Problems</a></header>'
        f"<main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def _text(text: str) -> str:
    return f"<p>{_code(text)}</p>" if text else ""


def _code(text: str) -> str:
    """Escape a text, and set what stands between backquotes as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _table(titles: tuple[str, ...], rows: str) -> str:
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
