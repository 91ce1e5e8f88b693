"""What the page is served as, and that its words keep up with the service. No browser is needed."""

import json
import re

import pytest

from app.api import reference
from app.api.openapi import READ_MEDIA_TYPES
from app.api.page import POLICY, WEB, open_paths, paths
from app.errors import causes
from app.imaging.encode import OUT_FORMATS
from app.telemetry.metrics import STAGES
from model.checkpoints.checkpoint import TASKS

PICTURES = (".jpg", ".png", ".svg")
ENGLISH = json.loads((WEB / "languages/en.json").read_text())
LANGUAGES = sorted(path.stem for path in (WEB / "languages").glob("*.json"))
SCRIPTS = {path.name: path.read_text() for path in WEB.glob("*.js")}


def flat(group, prefix=""):
    """Return the texts of a language by their whole keys; a list counts as one text for each of its parts."""
    found = {}
    for key, value in group.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found |= {
                f"{prefix}{key}[{at}]": text for at, text in enumerate([value] if isinstance(value, str) else value)
            }
    return found


@pytest.mark.parametrize("address", paths())
def test_every_part_is_served_with_its_type_and_without_need_of_elsewhere(client, address):
    answer = client.get(address)
    assert answer.status_code == 200
    kinds = {
        ".html": "text/html",
        ".css": "text/css",
        ".js": "text/javascript",
        ".json": "application/json",
        ".webmanifest": "application/manifest+json",
        ".svg": "image/svg",
        ".jpg": "image/jpeg",
        ".png": "image/png",
    }
    assert answer.headers["content-type"].startswith(kinds[paths()[address].suffix])
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert client.head(address).headers["content-length"] == str(len(answer.content))


def test_a_part_that_is_known_is_not_sent_again(client):
    first = client.get("/web/page.js")
    again = client.get("/web/page.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "no-cache" in first.headers["cache-control"]


def test_nothing_outside_the_folder_is_served(client):
    for address in ("/web/", "/web/../main.py", "/web/%2e%2e/main.py", "/web/index.html", "/web/service-worker.js"):
        assert client.get(address).status_code == 404


def test_the_page_is_told_what_the_service_takes(client):
    told = client.get("/web/service.json").json()
    assert told["body_bytes"] > 0
    assert told["reads"] == list(READ_MEDIA_TYPES)
    assert {"format", "quality"} <= set(told["options"])
    known = re.findall(r'^  "(image/\w+)": "', SCRIPTS["formats.js"], re.MULTILINE)
    assert set(told["reads"]) <= set(known), "formats.js has no name for one of these"


def test_the_page_is_plain_and_light():
    """No inline code or style, which its policy forbids, nothing from elsewhere, and light enough for a phone."""
    page = (WEB / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    for path in (*WEB.rglob("*.html"), *WEB.rglob("*.css"), *WEB.rglob("*.js")):
        loaded = re.sub(r'<a href="https://[^"]+" rel="noreferrer">', "", path.read_text())
        assert "://" not in loaded, path.name
    files = [path for path in WEB.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if path.suffix not in PICTURES) <= 150_000
    for path in (WEB / "pictures").iterdir():
        assert path.stat().st_size < 220_000, path.name


def test_the_service_worker_keeps_every_file_the_page_is_made_of():
    worker = SCRIPTS["service-worker.js"]
    for path in WEB.rglob("*"):
        pictures_of_other_choices = path.name.startswith(("haze", "both"))
        systems_icons = path.name in ("icon-180.png", "icon-512.png", "icon-maskable.png")
        if path.is_dir() or path.name in ("index.html", "service-worker.js", "reference.css"):
            continue
        if not pictures_of_other_choices and not systems_icons:
            stem = path.name if path.suffix in (*PICTURES, ".webmanifest") else path.stem
            assert f'"{stem}"' in worker or f"/{stem}" in worker, path.name


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_complete(language):
    """The same texts, with the same holes for numbers and names, and none left in English."""
    words = flat(json.loads((WEB / "languages" / f"{language}.json").read_text()))
    english = flat(ENGLISH)
    assert words.keys() == english.keys()
    holes = {key: sorted(re.findall(r"\{\w+\}", text)) for key, text in english.items()}
    assert {key: sorted(re.findall(r"\{\w+\}", text)) for key, text in words.items()} == holes
    assert all(text.strip() for text in words.values())
    if language != "en":
        same = [
            key
            for key, text in words.items()
            if text == english[key] and len(re.findall(r"[a-z]{3}", re.sub(r"{.*?}", "", text))) > 5
        ]
        assert same == [], "not translated"


def test_the_languages_are_those_that_can_be_chosen():
    offered = re.search(r"LANGUAGES = \{(.*)\}", SCRIPTS["words.js"])[1]
    assert sorted(re.findall(r"(\w+): ", offered)) == LANGUAGES
    assert {"en", "zh", "de", "es", "fr"} <= set(LANGUAGES)


def test_the_markup_says_in_english_what_the_english_file_says():
    page = (WEB / "index.html").read_text()
    texts = re.findall(r'data-t="(\w+)"[^>]*>([^<]*)<', page)
    labels = re.findall(r'data-t-label="(\w+)"[^>]*aria-label="([^"]*)"', page)
    assert len(texts) > 30
    for key, text in (*texts, *labels):
        assert ENGLISH[key] == text


def test_every_word_that_is_asked_for_exists_and_every_one_there_is_is_asked_for():
    page = (WEB / "index.html").read_text()
    code = "\n".join(text for name, text in SCRIPTS.items() if name != "service-worker.js")
    asked = set(re.findall(r'\bt\("([\w.]+)"', code)) | set(re.findall(r'data-t(?:-\w+)?="(\w+)"', page))
    assert asked - {"stage"} <= set(ENGLISH)
    made = re.compile(rf"({'|'.join([*TASKS, 'both'])})(Hint|Suffix|Work|Nothing|Little|Some|Much)?")
    unasked = {key for key in set(ENGLISH) - asked if not made.fullmatch(key) and f'"{key}"' not in code}
    assert unasked == {"stages", "problems", "helpText"}


def test_every_problem_station_and_task_has_words_for_people():
    assert set(ENGLISH["problems"]) == {kind.slug for kind in causes()} | {"unreachable"}
    assert set(STAGES) <= set(ENGLISH["stages"])
    assert set(TASKS) <= set(ENGLISH)


def test_what_the_page_takes_for_the_service_s_defaults_is_so():
    assert re.search(r"QUALITY = (\d+)", SCRIPTS["save.js"])[1] == str(OUT_FORMATS["jpeg"].default_quality)
    written = re.search(r"SUFFIXES = \{(.*)\}", SCRIPTS["formats.js"])[1]
    assert dict(re.findall(r'(\w+): "(\w+)"', written)) == {
        name: format.suffixes[0].removeprefix(".") for name, format in OUT_FORMATS.items()
    }


def test_the_reference_tells_every_address_and_every_failure(client):
    page = client.get("/docs")
    assert page.headers["content-security-policy"] == POLICY
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert f'<section id="{operation["operationId"]}">' in page.text
            for parameter in operation.get("parameters", []):
                assert f"<code>{parameter['name']}</code>" in page.text
        assert f"</b> {path}</h2>" in page.text
    links = set(re.findall(r'href="(problems/[\w-]+)"', page.text))
    assert links == {f"problems/{kind.slug}" for kind in causes() if kind.slug != "method-not-allowed"}
    for link in links:
        assert client.get(f"/{link}").status_code == 200


@pytest.mark.parametrize("kind", causes(), ids=lambda kind: kind.slug)
def test_the_type_of_a_problem_is_the_address_of_its_page(client, kind):
    answer = client.get(f"/problems/{kind.slug}")
    assert answer.headers["content-type"].startswith("text/html")
    assert kind.title in answer.text
    assert f"status {kind.status}" in answer.text
    assert client.get("/problems/made-up").status_code == 404


def test_the_reference_quotes_what_it_draws():
    """Nothing in a document, not even the address the caller used, becomes markup."""
    document = {
        "info": {"description": "<b>&", "version": "1"},
        "paths": {
            "/<i>": {
                "get": {"operationId": '"x', "description": "a `b<` c", "responses": {"200": {"description": "<u>"}}}
            }
        },
    }
    page = reference.reference(document, "http://<script>/")
    assert not re.search(r"<b>&|<i>|<u>|<script>", page)
    assert "a <code>b&lt;</code> c" in page


def test_the_page_and_the_reference_need_no_key():
    assert {"/", "/service-worker.js", "/web/service.json", "/web/languages/zh.json"} <= open_paths()
    assert {"/docs", "/openapi.json", "/problems", "/problems/overloaded"} <= reference.open_paths()
