"""Results as files: formats, quality, ZIP, clipboard, share."""

import io
import zipfile

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.pictures import decoded, drawn, encoded

expect = pytest.importorskip("playwright.sync_api", reason="the page's tests need the dev extra").expect

from tests.web.visitor import NO_PICTURE, PHOTO, all_restored, downloaded, photo, restored  # noqa: E402

pytestmark = pytest.mark.web


def posts(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    return asked


@pytest.mark.parametrize(("format", "suffix"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
def test_a_photo_comes_back_in_its_own_format_at_once(page, service, format, suffix):
    asked = posts(page)
    restored(page, photo(f"holiday.1.{suffix}", PHOTO, format))
    answer = httpx.post(f"{service.url}/derain?format={format}", content=encoded(PHOTO, format))
    assert downloaded(page) == (f"holiday.1-derained.{suffix}", answer.content)
    assert len(asked) == 1


@pytest.mark.parametrize(("format", "suffix"), [("jpeg", "jpg"), ("webp", "webp")])
def test_another_format_and_quality_come_from_the_service(page, service, format, suffix):
    asked = posts(page)
    restored(page)
    expect(page.locator("#quality-box")).to_be_hidden()
    page.select_option("#format", format)
    page.fill("#quality", "40")
    answer = httpx.post(f"{service.url}/derain?format={format}&quality=40", content=encoded(PHOTO))
    assert downloaded(page) == (f"rainy-derained.{suffix}", answer.content)
    assert downloaded(page)[1] == answer.content
    assert len(asked) == 2  # the second time it is here already


def test_what_a_format_cannot_hold_is_told_beside_the_button(page, visits):
    alpha = io.BytesIO()
    Image.fromarray(np.dstack([PHOTO, np.full(PHOTO.shape[:2], 99, np.uint8)])).save(alpha, "png")
    restored(page, photo("clear.png") | {"buffer": alpha.getvalue()})
    page.select_option("#format", "jpeg")
    page.click("#download")
    expect(page.locator("#notice")).to_have_text("clear.png could not be prepared. Choose PNG as the format")
    assert "406" in visits.errors.pop()


def test_all_go_into_one_zip_that_python_reads(page, service):
    photos = [photo("one.png"), photo("two.jpg", drawn(90, 70), "jpeg"), photo("one.png", drawn(50, 60)), NO_PICTURE]
    all_restored(page, *photos)
    name, data = downloaded(page, "#zip")
    assert name == "photos-derained.zip"
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    assert archive.namelist() == ["one-derained.png", "two-derained.jpg", "one-derained (2).png"]
    for sent, entry in zip(photos, archive.infolist(), strict=False):
        format = "jpeg" if entry.filename.endswith("jpg") else "png"
        answer = httpx.post(f"{service.url}/derain?format={format}", content=sent["buffer"])
        assert archive.read(entry) == answer.content
        assert entry.compress_type == zipfile.ZIP_STORED
    expect(page.locator("#notice")).to_contain_text("notes.txt")


def test_a_zip_holds_any_name_and_any_bytes(page):
    """Our own writer against Python's reader: names outside ASCII, an empty file, every byte."""
    data = page.evaluate(
        """async () => {
            const { zip } = await import("/web/zip.js");
            const files = [["Straße 雨.png", new Uint8Array(256).map((_, i) => i)], ["empty", new Uint8Array()]];
            const when = new Date(2026, 10, 26, 1, 2, 4);
            const made = await zip(files.map(([name, bytes]) => ({ name, blob: new Blob([bytes]) })), when);
            return [...new Uint8Array(await made.arrayBuffer())];
        }"""
    )
    archive = zipfile.ZipFile(io.BytesIO(bytes(data)))
    assert archive.testzip() is None
    assert {entry.filename: archive.read(entry) for entry in archive.infolist()} == {
        "Straße 雨.png": bytes(range(256)),
        "empty": b"",
    }
    assert archive.infolist()[0].date_time == (2026, 11, 26, 1, 2, 4)


def test_the_picture_goes_to_the_clipboard(visits):
    page = visits.open(permissions=["clipboard-read", "clipboard-write"])
    restored(page, photo("rainy.jpg", PHOTO, "jpeg"))
    page.click("#copy-picture")
    expect(page.locator("#copy-picture")).to_have_text("Copied")
    copied = page.evaluate(
        """async () => {
            const [item] = await navigator.clipboard.read();
            return [...new Uint8Array(await (await item.getType("image/png")).arrayBuffer())];
        }"""
    )
    difference = decoded(bytes(copied))[..., :3].astype(int) - decoded(downloaded(page)[1])
    assert np.abs(difference).max() <= 2  # two readers of one JPEG


def test_a_browser_that_can_share_is_offered_the_file(visits):
    page = visits.open("about:blank")
    page.add_init_script(
        "navigator.canShare = () => true; navigator.share = async ({ files }) => (window.shared = files[0])"
    )
    page.goto(visits.url)
    restored(page)
    page.click("#share")
    assert page.evaluate("[shared.name, shared.type]") == ["rainy-derained.png", "image/png"]


def test_a_browser_that_cannot_share_has_no_such_button(page):
    restored(page)
    expect(page.locator("#share")).to_be_hidden()
