"""The page as people use it: a real browser, a real server, tiny weights."""

import hashlib
import itertools
import json
import re
import subprocess
import time

import httpx
import numpy as np
import pytest

from model.inference.tiling import TilePlan
from tests.e2e.server import run_server
from tests.pictures import decoded, drawn, encoded
from tests.web.conftest import OVERLAP, TILE

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need the dev extra")
expect = sync_api.expect

pytestmark = pytest.mark.web

PHOTO = drawn(120, 180)
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3, "has_touch": True, "is_mobile": True}


def photo(name="rainy.png", rgb=PHOTO):
    return {"name": name, "mimeType": "image/png", "buffer": encoded(rgb)}


def choose(page, *files):
    page.set_input_files("#files", list(files))


def await_mode(page, mode):
    expect(page.locator("#stage")).to_have_attribute("data-mode", mode)


def restored(page, *files):
    """Choose files and wait until the first is restored."""
    choose(page, *(files or [photo()]))
    await_mode(page, "done")
    expect(page.locator("#after")).to_be_visible()
    return page


def downloaded(page):
    with page.expect_download() as download:
        page.click("#download")
    return download.value.suggested_filename, download.value.path().read_bytes()


def screen(page):
    """Return what is seen where the picture is, uint8 (H, W, 3)."""
    clip = page.locator("#before").evaluate("image => image.getBoundingClientRect().toJSON()")
    return decoded(page.screenshot(clip={key: round(clip[key]) for key in ("x", "y", "width", "height")}))[..., :3]


def zoom_level(page):
    return int(page.locator("#zoom-level").text_content().rstrip("%"))


def test_a_chosen_photo_comes_back_as_the_service_restores_it(page, service):
    restored(page)
    answer = httpx.post(f"{service.url}/derain?format=png", content=encoded(PHOTO))
    assert downloaded(page) == ("rainy-derained.png", answer.content)


def test_one_click_on_the_sample_shows_something(visits):
    page = visits.open(reduced_motion="no-preference")
    page.click("#sample")
    await_mode(page, "done")
    expect(page.locator("#summary")).to_contain_text("taken off")
    expect(page.locator("#divider")).to_have_value("50")  # where the wipe from before to after ends


def test_photos_can_be_dropped_and_pasted(page):
    page.evaluate(
        """(bytes) => {
            const files = (name) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
                return transfer;
            };
            document.dispatchEvent(new DragEvent("drop", { dataTransfer: files("dropped.png"), cancelable: true }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files("pasted.png") }));
        }""",
        list(encoded(PHOTO)),
    )
    for name in ("dropped", "pasted"):
        page.get_by_role("button", name=f"{name}.png, done").click()
        assert downloaded(page)[0] == f"{name}-derained.png"


def test_progress_counts_the_tiles_until_it_is_cancelled(page, service):
    large = drawn(3000, 3000)
    tiles = len(TilePlan(3000, 3000, TILE, OVERLAP))
    choose(page, {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": encoded(large, "jpeg")})
    expect(page.locator("#working-words")).to_have_text(re.compile(rf"^[1-9]\d* of {tiles} tiles, .* left$"))
    assert 0 < page.locator("#progress").evaluate("bar => bar.position") < 1
    page.click("#cancel")
    await_mode(page, "welcome")
    give_up = time.monotonic() + 20
    while 'dmsr_queue_tiles{task="derain"} 0.0' not in httpx.get(f"{service.url}/metrics").text:
        assert time.monotonic() < give_up, "the service goes on with what was cancelled"


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
    page.evaluate("document.getElementById('divider').hidden = true")  # its handle would hide pixels
    _, after = downloaded(page)
    for position, expected in ((0, decoded(after)[..., :3]), (100, PHOTO)):
        page.evaluate("(at) => { divider.value = at; divider.dispatchEvent(new Event('input')) }", position)
        clear = np.s_[45:, 5:-5]  # of the words Before and After, and of the line
        assert np.array_equal(screen(page)[clear], expected[clear])


def test_removed_shows_the_difference_brightened(page):
    restored(page)
    page.check("[value=removed]")
    page.click("#pixels")
    expect(page.locator("#divider")).to_be_hidden()
    gain = int(re.search(r"(\d+) times", page.locator("#summary").text_content())[1])
    after = decoded(downloaded(page)[1])[..., :3].astype(int)
    expected = np.clip(np.abs(after - PHOTO) * gain, 0, 255)
    assert np.abs(screen(page) - expected).max() <= 1


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
    expect(page.locator("#zoom-level")).to_have_text("3200%")
    expect(page.locator("#picture")).to_have_class("pixelated")
    place = page.locator("#before").evaluate("image => image.getBoundingClientRect().x")
    page.mouse.down()
    page.mouse.move(box["x"] + 340, box["y"] + 200)
    page.mouse.up()
    assert page.locator("#before").evaluate("image => image.getBoundingClientRect().x") == pytest.approx(place + 40)
    page.keyboard.press("ArrowRight")
    assert page.locator("#before").evaluate("image => image.getBoundingClientRect().x") == pytest.approx(place - 20)
    page.click("#fit")
    assert zoom_level(page) == fitted


def test_several_photos_are_worked_off_one_after_the_other(page):
    names = ["one.png", "two.png", "three.png"]
    restored(page, *(photo(name, drawn(64 + 30 * i, 90, seed=i)) for i, name in enumerate(names)))
    for i, name in enumerate(names):
        page.get_by_role("button", name=f"{name}, done").click()
        expect(page.locator("#download")).to_have_attribute("download", name.replace(".png", "-derained.png"))
        assert decoded(downloaded(page)[1]).shape[0] == 64 + 30 * i


def test_what_is_taken_off_can_be_chosen(page):
    restored(page)
    page.get_by_role("radio", name="Haze").check()
    expect(page.locator("#download")).to_have_attribute("download", "rainy-dehazed.png")
    page.get_by_role("radio", name="Rain").check()
    expect(page.locator("#download")).to_have_attribute("download", "rainy-derained.png")


def test_the_command_does_the_same(page, tmp_path):
    restored(page, photo("it's raining.png"))
    page.click("summary")
    (tmp_path / "it's raining.png").write_bytes(encoded(PHOTO))
    subprocess.run(page.locator("#command").text_content(), shell=True, cwd=tmp_path, check=True, timeout=60)
    name, data = downloaded(page)
    assert (tmp_path / name).read_bytes() == data


def test_the_details_tell_where_the_time_went_and_what_changed(page):
    restored(page)
    page.click("summary")
    expect(page.locator("#times")).to_contain_text("In the network")
    expect(page.locator("#facts")).to_contain_text("On average")
    expect(page.locator("#facts")).to_contain_text("derain")


def test_a_failure_is_told_in_plain_words_with_a_remedy(page, visits):
    choose(page, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    trouble = page.get_by_role("alert")
    expect(trouble).to_contain_text("This is no photo the service can read")
    expect(trouble).to_contain_text("Choose a JPEG")
    page.get_by_role("button", name="Dismiss").click()
    await_mode(page, "welcome")
    assert "415" in visits.errors.pop()


def test_a_service_that_is_still_starting_is_waited_for(page, visits):
    asked = []

    def answer(route):
        asked.append(route.request.url)
        if len(asked) > 1:
            route.continue_()
        else:
            problem = {"type": "/problems/warming", "detail": "Not yet.", "retry_after_seconds": 1}
            route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem))

    page.route("**/derain*", answer)
    restored(page, photo())
    assert len(asked) == 2
    assert ["503" in error for error in visits.errors] == [True]  # the browser's own remark
    visits.errors.clear()


def test_an_unreachable_service_can_be_tried_again(page, visits):
    page.context.set_offline(True)
    choose(page, photo())
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    await_mode(page, "done")
    assert {"ERR_INTERNET_DISCONNECTED" in error for error in visits.errors} == {True}  # the icon may be asked for, too
    visits.errors.clear()


def test_where_a_key_is_needed_the_page_asks_for_it(visits, both_weights, tmp_path):
    (tmp_path / "keys").write_text(hashlib.sha256(b"open-sesame").hexdigest())
    with run_server(tmp_path, both_weights | {"DMSR_AUTH_KEYS_FILE": str(tmp_path / "keys")}) as guarded:
        visits.url = guarded.url
        page = visits.open()
        choose(page, photo())
        page.get_by_label("API key").fill("open-sesame")
        page.get_by_role("button", name="Use it").click()
        await_mode(page, "done")
        expect(page.get_by_role("radio", name="Haze")).to_be_attached()
        expect(page.locator("#command")).to_contain_text("$DMSR_KEY")
    assert all("401" in error for error in visits.errors)
    visits.errors.clear()


def test_on_a_phone_everything_fits_and_fingers_work(visits):
    page = visits.open(**PHONE)
    page.locator("#files").set_input_files([photo("one.png"), photo("two.png")])
    await_mode(page, "done")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.documentElement.scrollHeight") <= 844
    for control in page.locator("button:visible, a:visible").all():
        assert control.bounding_box()["height"] >= 40, control.get_attribute("id")
    assert_apart(page.locator("button:visible, a:visible, .segments label:visible").all())
    before = zoom_level(page)
    pinch(page)
    assert zoom_level(page) > 1.5 * before
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def assert_apart(controls):
    """Assert that no two controls lie over each other."""
    boxes = [control.bounding_box() for control in controls]
    for one, other in itertools.combinations(boxes, 2):
        across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
        down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
        assert across <= 1 or down <= 1, (one, other)


def pinch(page):
    """Spread two fingers on the picture."""
    session = page.context.new_cdp_session(page)
    for kind, spread in (("touchStart", 30), ("touchMove", 60), ("touchMove", 90), ("touchEnd", None)):
        points = [] if spread is None else [{"x": 195 + side * spread, "y": 180, "id": side + 1} for side in (-1, 1)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(visits, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visits.open(color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 200) == (scheme == "dark")

    def check(where):
        faults = axe.run(page).response["violations"]
        assert not [(where, fault["id"], fault["nodes"]) for fault in faults if fault["impact"] != "minor"]

    check("welcome")
    choose(page, photo(), {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    await_mode(page, "done")
    page.click("summary")
    check("done")
    page.get_by_role("button", name="notes.txt, failed").click()
    await_mode(page, "failed")
    check("failed")
    visits.errors.pop()


def test_the_keyboard_reaches_everything(page):
    restored(page)
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.tagName")
        )
    for wanted in (
        "task",
        "choose",
        "frame",
        "divider",
        "view",
        "zoom-out",
        "zoom-in",
        "fit",
        "pixels",
        "download",
        "SUMMARY",
    ):
        assert wanted in reached
