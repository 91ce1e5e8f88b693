"""The hands and eyes of a visitor: choosing photos, waiting, downloading, looking at pixels."""

import itertools

from playwright.sync_api import expect

from tests.pictures import decoded, drawn, encoded

PHOTO = drawn(120, 180)
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3, "has_touch": True, "is_mobile": True}
NO_PICTURE = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}


def photo(name="rainy.png", rgb=PHOTO, format="png"):
    return {"name": name, "mimeType": f"image/{format}", "buffer": encoded(rgb, format)}


def choose(page, *files):
    page.set_input_files("#files", list(files))


def await_mode(page, mode):
    expect(page.locator("body")).to_have_attribute("data-mode", mode)


def restored(page, *files):
    """Choose files and wait until the first is restored."""
    choose(page, *(files or [photo()]))
    await_mode(page, "done")
    expect(page.locator("#after")).to_be_visible()
    return page


def all_restored(page, *files):
    """Choose files and wait until none is left in work."""
    restored(page, *files)
    expect(page.locator("#working")).to_be_hidden()
    return page


def downloaded(page, button="#download"):
    with page.expect_download() as download:
        page.click(button)
    return download.value.suggested_filename, download.value.path().read_bytes()


def screen(page, picture="#before"):
    """Return what is seen where a picture is, uint8 (H, W, 3)."""
    clip = page.locator(picture).evaluate("image => image.getBoundingClientRect().toJSON()")
    return decoded(page.screenshot(clip={key: round(clip[key]) for key in ("x", "y", "width", "height")}))[..., :3]


def zoom_level(page):
    return int(page.locator("#zoom-level").text_content().rstrip("%"))


def set_strength(page, strength):
    page.evaluate(
        "(to) => { strength.value = to; strength.dispatchEvent(new Event('input', { bubbles: true })) }", strength
    )


def width(page):
    return page.evaluate("document.documentElement.scrollWidth")


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
        points = [] if spread is None else [{"x": 195 + side * spread, "y": 220, "id": side + 1} for side in (-1, 1)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def until(page, expression):
    """Wait for an expression to be true; Playwright's own way evaluates a string, which the page's policy forbids."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never true: {expression}")
