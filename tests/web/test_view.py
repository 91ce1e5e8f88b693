"""Looking at the result: divider, views, zoom, strength, by mouse, keys and fingers."""

import re

import httpx
import numpy as np
import pytest

from tests.pictures import decoded, drawn, encoded

expect = pytest.importorskip("playwright.sync_api", reason="the page's tests need the dev extra").expect

from tests.web.visitor import (  # noqa: E402
    PHONE,
    PHOTO,
    downloaded,
    photo,
    pinch,
    restored,
    screen,
    set_strength,
    zoom_level,
)

pytestmark = pytest.mark.web

CLEAR = np.s_[45:, 5:-5]  # of the words Before and After, and of the line


def hide_handle(page):
    """Hide the divider's handle, which lies over pixels; not its position."""
    page.evaluate("document.getElementById('divider').style.opacity = 0")


def result(page):
    return decoded(downloaded(page)[1])[..., :3].astype(float)


def test_the_divider_is_moved_by_keyboard(page):
    restored(page)
    divider = page.get_by_role("slider", name="Divider between before and after")
    divider.focus()
    for key, value in (("Home", 0), ("ArrowRight", 0.5), ("PageUp", 10.5), ("End", 100), ("ArrowLeft", 99.5)):
        page.keyboard.press(key)
        assert float(divider.input_value()) == pytest.approx(value), key
    expect(divider).to_have_attribute("aria-valuetext", re.compile("% before, .*% after"))


def test_the_divider_parts_before_from_after(page):
    restored(page)
    page.click("#pixels")
    after = result(page)
    hide_handle(page)
    for position, expected in ((0, after), (100, PHOTO)):
        page.evaluate("(at) => { divider.value = at; divider.dispatchEvent(new Event('input')) }", position)
        assert np.array_equal(screen(page)[CLEAR], expected[CLEAR])


def removed_gain(page):
    return int(re.search(r"(\d+)×", page.locator("#summary").text_content())[1])


def test_removed_shows_the_difference_brightened(page):
    restored(page)
    page.check("[value=removed]")
    page.click("#pixels")
    expect(page.locator("#divider")).to_be_hidden()
    expected = np.clip(np.abs(result(page) - PHOTO) * removed_gain(page), 0, 255)
    assert np.abs(screen(page) - expected).max() <= 1


def test_removed_haze_is_shown_as_lightness(page):
    page.get_by_role("radio", name="Haze").check()
    restored(page)
    page.check("[value=removed]")
    page.click("#pixels")
    seen = screen(page).astype(int)
    assert np.ptp(seen, axis=-1).max() <= 1
    # Bright enough to be seen, unless the change is so small or so large that no fair factor makes it so.
    assert 40 < seen.mean() < 100 or removed_gain(page) in (1, 8)


def test_side_by_side_shows_both_whole_and_moves_them_alike(page):
    restored(page)
    after = result(page)
    page.check("[value=side]")
    page.click("#pixels")
    expect(page.locator("#divider")).to_be_hidden()
    assert np.array_equal(screen(page, "#before")[CLEAR], PHOTO[CLEAR])
    assert np.array_equal(screen(page, "#after")[CLEAR], after[CLEAR])
    frame = page.locator("#frame").bounding_box()
    page.mouse.move(frame["x"] + frame["width"] * 0.75, frame["y"] + frame["height"] / 2)
    page.mouse.wheel(0, -300)
    places = [page.locator(name).evaluate("node => node.getBoundingClientRect().x") for name in ("#before", "#after")]
    assert places[1] - places[0] == pytest.approx(frame["width"] / 2 + 1, abs=1)


def test_holding_shows_the_original_and_letting_go_the_comparison(page):
    restored(page)
    page.click("#pixels")
    hold = page.get_by_role("button", name="Hold for original").bounding_box()
    page.mouse.move(hold["x"] + 10, hold["y"] + 10)
    page.mouse.down()
    assert np.array_equal(screen(page)[CLEAR], PHOTO[CLEAR])
    page.mouse.up()
    expect(page.locator("#divider")).to_be_visible()
    page.locator("#frame").focus()
    page.keyboard.down("o")
    assert np.array_equal(screen(page)[CLEAR], PHOTO[CLEAR])
    page.keyboard.up("o")
    expect(page.locator("#divider")).to_be_visible()


def test_zoom_and_pan_go_down_to_the_pixel(page):
    restored(page)
    frame = page.get_by_role("group", name="Picture")
    frame.focus()
    page.keyboard.press("1")
    assert zoom_level(page) == 100
    page.keyboard.press("0")
    fitted = zoom_level(page)
    page.keyboard.press("+")
    assert zoom_level(page) == pytest.approx(fitted * 1.5, abs=1)
    box = frame.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    for _ in range(20):
        page.mouse.wheel(0, -100)
    expect(page.locator("#zoom-level")).to_have_text("3,200%")
    expect(page.locator("#picture")).to_have_class(re.compile("pixelated"))
    place = page.locator("#before").evaluate("image => image.getBoundingClientRect().x")
    page.mouse.down()
    page.mouse.move(box["x"] + 340, box["y"] + 200)
    page.mouse.up()
    assert page.locator("#before").evaluate("image => image.getBoundingClientRect().x") == pytest.approx(place + 40)
    page.keyboard.press("ArrowRight")
    assert page.locator("#before").evaluate("image => image.getBoundingClientRect().x") == pytest.approx(place - 20)
    page.click("#fit")
    assert zoom_level(page) == fitted


def test_zoom_starts_anew_with_each_photo(page):
    restored(page, photo("one.png"))
    page.click("#pixels")
    page.click("#zoom-in")
    zoomed = zoom_level(page)
    page.get_by_role("radio", name="Haze").check()  # the same photo stays where it is
    expect(page.get_by_role("button", name="Download")).to_be_visible()
    assert zoom_level(page) == zoomed
    restored(page, photo("two.png"))
    page.get_by_role("button", name="two.png, done").wait_for()
    fresh = zoom_level(page)
    page.click("#fit")
    assert zoom_level(page) == fresh != zoomed
    assert page.locator("#frame").evaluate("frame => !frame.classList.contains('movable')")


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.25, 1.5])
def test_strength_is_seen_at_once_and_exact_in_the_download(page, visits, strength):
    """At once by the browser's layers, whose rounding the contrast above 1 magnifies; exact from the service."""
    restored(page)
    page.click("#pixels")
    hide_handle(page)
    after = result(page)
    page.evaluate("() => { divider.value = 0; divider.dispatchEvent(new Event('input')) }")
    set_strength(page, strength)
    expected = np.clip(PHOTO + strength * (after - PHOTO), 0, 255)
    assert np.abs(screen(page).astype(float)[CLEAR] - expected[CLEAR]).max() <= (2.5 if strength <= 1 else 4)
    asked = [url for url in visits.requests if "/derain?" in url]
    assert np.abs(result(page) - expected).max() <= 0.5
    assert len(asked) == 1  # the browser drew the strength itself, and only the download asks
    assert f"strength={strength:g}" in [url for url in visits.requests if "/derain?" in url][-1]


def test_a_tiff_is_previewed_by_the_service(page, service):
    restored(page, photo("scan.tif", PHOTO, "tiff"))
    expect(page.locator("#divider")).to_be_visible()
    page.click("#pixels")
    hide_handle(page)
    page.evaluate("() => { divider.value = 100; divider.dispatchEvent(new Event('input')) }")
    assert np.array_equal(screen(page)[CLEAR], PHOTO[CLEAR])
    name, data = downloaded(page)
    assert name == "scan-derained.tif"
    assert data == httpx.post(f"{service.url}/derain?format=tiff", content=encoded(PHOTO, "tiff")).content


def test_fingers_zoom(visits):
    page = visits.open(**PHONE)
    restored(page, photo(rgb=drawn(300, 400)))
    before = zoom_level(page)
    pinch(page)
    assert zoom_level(page) > 1.5 * before
