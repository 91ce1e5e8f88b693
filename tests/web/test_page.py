"""What the page is served as, and that its words keep up with the service. No browser is needed."""

import re

import pytest

from app.api.page import WEB, paths
from app.errors import DmsrError
from app.telemetry.metrics import STAGES
from model.checkpoints.checkpoint import TASKS

WORDS = (WEB / "words.js").read_text()


def slugs(kind=DmsrError):
    """Return the problem types of a class and of all below it that can be raised."""
    below = kind.__subclasses__()
    return {slug for sub in below for slug in slugs(sub)} if below else {kind.slug}


@pytest.mark.parametrize("address", paths())
def test_every_part_is_served_with_its_type_and_without_need_of_elsewhere(client, address):
    answer = client.get(address)
    assert answer.status_code == 200
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg", "jpg": "image/jpeg"}
    assert answer.headers["content-type"].startswith(kinds[paths()[address].suffix[1:]])
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
    for address in ("/web/", "/web/../main.py", "/web/%2e%2e/main.py", "/web/index.html"):
        assert client.get(address).status_code == 404


def test_the_page_is_plain_and_small():
    """No inline code or style, which its policy forbids, no address elsewhere, and light enough for a phone."""
    page = (WEB / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    for path in (*WEB.glob("*.html"), *WEB.glob("*.css"), *WEB.glob("*.js")):
        assert "://" not in path.read_text(), path.name
    assert (WEB / "sample.jpg").stat().st_size < 150_000
    assert sum(path.stat().st_size for path in WEB.iterdir()) < 200_000


def test_every_problem_has_words_for_people():
    told = set(re.findall(r'^  "([\w-]+)": \[', WORDS, re.MULTILINE))
    assert told == slugs() | {"unreachable"}


def test_every_station_and_task_has_words_for_people():
    assert set(re.findall(r'^  (\w+): "', WORDS, re.MULTILINE)) == set(STAGES)
    assert set(re.findall(r"^  (\w+): \{ removed", WORDS, re.MULTILINE)) == set(TASKS)
