"""The page on every screen: nothing too wide, nothing hidden, in every language, for keyboards and screen readers."""

import json
import re

import pytest

from app.api.page import WEB

expect = pytest.importorskip("playwright.sync_api", reason="the page's tests need the dev extra").expect

from tests.web.visitor import (  # noqa: E402
    NO_PICTURE,
    PHONE,
    all_restored,
    assert_apart,
    await_mode,
    choose,
    photo,
    restored,
    until,
    width,
)

pytestmark = pytest.mark.web

LANGUAGES = sorted(path.stem for path in (WEB / "languages").glob("*.json"))
SMALL = PHONE | {"viewport": {"width": 320, "height": 568}, "device_scale_factor": 2}
LYING = PHONE | {"viewport": {"width": 844, "height": 390}}
TABLET = {"viewport": {"width": 768, "height": 1024}}


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_wider_than_320_pixels(visits, language):
    page = visits.open(**SMALL, locale=language)
    assert width(page) == 320
    page.locator("#files").set_input_files([photo("one.jpg", format="jpeg"), photo("two.png"), NO_PICTURE])
    await_mode(page, "done")
    expect(page.locator("#working")).to_be_hidden()
    page.select_option("#format", "jpeg")
    assert width(page) == 320
    page.click("summary")
    assert width(page) == 320
    page.locator("#strip button").last.click()
    await_mode(page, "failed")
    assert width(page) == 320
    page.click("#help-open")
    assert width(page) == 320


def test_on_a_phone_everything_fits_and_is_large_enough(visits):
    page = visits.open(**PHONE)
    expect(page.locator("h1 small")).to_be_visible()  # the line that says what this is
    large = page.locator("#choose-large").bounding_box()
    assert large["width"] > 300
    assert large["height"] > 44
    expect(page.get_by_role("button", name="Take a photo")).to_be_visible()
    page.locator("#files").set_input_files([photo("one.png"), photo("two.png")])
    await_mode(page, "done")
    expect(page.locator("#working")).to_be_hidden()
    expect(page.locator("h1 small")).to_be_visible()
    assert width(page) == 390
    assert page.evaluate("document.documentElement.scrollHeight") <= 844
    controls = page.locator("button:visible, select:visible")
    for control in controls.all():
        assert control.bounding_box()["height"] >= 40, control.get_attribute("id")
    assert_apart(page.locator("button:visible, select:visible, .segments label:visible").all())
    page.click("summary")
    assert width(page) == 390


BROKEN = """spans => spans.flatMap(span => span.firstChild.data.split(" ").filter((word, index, words) => {
    const place = document.createRange(), start = words.slice(0, index).join(" ").length + (index > 0);
    place.setStart(span.firstChild, start);
    place.setEnd(span.firstChild, start + word.length);
    return place.getClientRects().length > 1;
}))"""
"""Which words of these are on more than one line."""


@pytest.mark.parametrize("screen", [SMALL, PHONE, LYING, TABLET], ids=["small", "upright", "lying", "tablet"])
def test_no_word_of_the_choice_is_broken(visits, screen):
    page = visits.open(**screen)
    expect(page.locator("#tasks span")).to_have_count(3)

    def check():
        for language in LANGUAGES:
            page.locator("#language").evaluate(
                "(list, to) => { list.value = to; list.dispatchEvent(new Event('change')) }", language
            )
            expect(page.locator("html")).to_have_attribute("lang", language)
            assert page.locator("#tasks span, #views span").evaluate_all(BROKEN) == []
            assert width(page) == screen["viewport"]["width"]

    check()
    restored(page)  # now the header has a button more
    check()


@pytest.mark.parametrize("screen", [SMALL, PHONE, LYING], ids=["small", "upright", "lying"])
def test_progress_has_room_in_every_language(visits, screen):
    """The title is read whole, and the bar is as wide as what surrounds it."""
    page = visits.open(**screen)
    restored(page)
    for language in LANGUAGES:
        page.locator("#language").evaluate(
            "(list, to) => { list.value = to; list.dispatchEvent(new Event('change')) }", language
        )
        expect(page.locator("html")).to_have_attribute("lang", language)
        shown = page.evaluate("""() => {
            const working = document.getElementById("working"), title = working.querySelector("strong");
            working.hidden = false;
            title.textContent = document.querySelector("#views span").textContent + " 10/10";
            return {
                cut: title.scrollWidth - title.clientWidth,
                bar: working.querySelector("progress").clientWidth / working.clientWidth,
            };
        }""")
        assert shown["cut"] <= 0
        assert shown["bar"] > 0.8


def test_on_a_lying_phone_the_controls_stand_beside_the_picture(visits):
    page = visits.open(**LYING)
    for name in ("#sample", "#choose-large"):
        expect(page.locator(name)).to_be_in_viewport(ratio=1)
    restored(page)
    for name in ("#frame", "#download", "#strength-box", "#views", "#hold"):
        expect(page.locator(name)).to_be_in_viewport(ratio=0.99)
    frame = page.locator("#frame").bounding_box()
    assert frame["width"] > 500
    assert frame["height"] > 300


@pytest.mark.parametrize("size", [(768, 1024), (1100, 720), (1440, 900)])
def test_on_larger_screens_nothing_lies_over_anything(visits, size):
    page = visits.open(viewport=dict(zip(("width", "height"), size, strict=True)))
    all_restored(page, photo("one.jpg", format="jpeg"), photo("two.png"))
    page.select_option("#format", "webp")
    assert width(page) == size[0]
    assert page.evaluate("document.documentElement.scrollHeight") <= size[1]
    assert_apart(page.locator("button:visible, select:visible, .segments label:visible, #summary").all())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_browser_s_language(visits, language):
    words = json.loads((WEB / "languages" / f"{language}.json").read_text())
    page = visits.open(locale=f"{language}-XX" if language != "zh" else "zh-CN")
    expect(page.locator("#choose-large")).to_have_text(words["choose"])
    assert page.evaluate("document.documentElement.lang") == language
    expect(page).to_have_title(words["title"])
    restored(page)
    expect(page.locator("#download")).to_have_text(words["download"])
    # Nothing is left in English, or as a key without words.
    seen = page.locator("body").inner_text()
    english = json.loads((WEB / "languages" / "en.json").read_text())
    for key in ("choose", "download", "strength", "hold", "details", "remove"):
        if english[key] != words[key]:
            assert english[key] not in seen
    assert not re.search(r"\{\w+\}|undefined", seen)


def test_another_language_can_be_chosen_and_is_remembered(visits):
    page = visits.open()
    page.select_option("#language", "fr")
    expect(page.locator("#choose-large")).to_have_text("Choisir des photos")
    page.reload()
    expect(page.locator("#choose-large")).to_have_text("Choisir des photos")


def test_the_welcome_shows_the_effect_in_motion_and_stands_still_where_that_is_unwelcome(visits):
    wipe = "getComputedStyle(document.getElementById('scene')).getPropertyValue('--wipe')"
    moving = visits.open(reduced_motion="no-preference")
    first = moving.evaluate(wipe)
    until(moving, f"{wipe} !== '{first}'")
    assert moving.evaluate("document.getElementById('scene').getAnimations().length") == 1
    still = visits.open(reduced_motion="reduce")
    assert still.evaluate(wipe) == "50%"
    assert still.evaluate("document.getElementById('scene').getAnimations().length") == 0


def test_help_tells_what_to_choose_and_under_which_licence(page):
    page.wait_for_load_state("networkidle")
    page.click("#help-open")
    help = page.get_by_role("dialog", name="Help")
    expect(help).to_contain_text("Rain, haze or both?")
    expect(help).to_contain_text("JPEG, PNG, WebP")
    page.keyboard.press("Escape")
    expect(help).to_be_hidden()
    page.click("#licence-open")
    expect(help).to_contain_text("Apache License 2.0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(visits, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visits.open(color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 200) == (scheme == "dark")

    def check(where):
        faults = axe.run(page).response["violations"]
        assert not [(where, fault["id"], fault["nodes"]) for fault in faults]

    check("welcome")
    page.click("#help-open")
    check("help")
    page.keyboard.press("Escape")
    choose(page, photo(), NO_PICTURE)
    await_mode(page, "done")
    expect(page.locator("#working")).to_be_hidden()
    page.click("summary")
    check("done")
    page.check("[value=side]")
    check("side")
    page.get_by_role("button", name="notes.txt, failed").click()
    await_mode(page, "failed")
    check("failed")
    page.goto(f"{visits.url}/docs")
    check("docs")
    page.goto(f"{visits.url}/problems/overloaded")
    check("problem")


def test_the_keyboard_reaches_everything(page):
    restored(page)
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(26):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.tagName")
        )
    wanted = (
        "task choose help-open frame divider view hold zoom-out zoom-in fit pixels "
        "copy-picture remove format download SUMMARY"
    )
    assert [name for name in wanted.split() if name not in reached] == []
