"""Photos on their way: in, restored one after the other, refused, waited for, cancelled."""

import hashlib
import json
import re
import subprocess
import time

import httpx
import numpy as np
import pytest

from model.inference.scales import most_tiles
from model.inference.tiling import TilePlan
from tests.e2e.server import run_server
from tests.pictures import decoded, drawn, encoded

expect = pytest.importorskip("playwright.sync_api", reason="the page's tests need the dev extra").expect

from tests.web.conftest import OVERLAP, TILE  # noqa: E402
from tests.web.visitor import (  # noqa: E402
    NO_PICTURE,
    PHOTO,
    all_restored,
    await_mode,
    choose,
    downloaded,
    photo,
    restored,
)

pytestmark = pytest.mark.web


def test_a_chosen_photo_comes_back_as_the_service_restores_it(page, service):
    restored(page)
    expect(page.locator("#frame")).to_be_focused()  # whoever listens goes on at the result
    answer = httpx.post(f"{service.url}/derain?format=png", content=encoded(PHOTO))
    assert downloaded(page) == ("rainy-derained.png", answer.content)


def test_one_click_on_the_sample_shows_something(visits):
    page = visits.open(reduced_motion="no-preference")
    page.click("#sample")
    await_mode(page, "done")
    expect(page.locator("#summary")).to_contain_text("taken off")
    expect(page.locator("#divider")).to_have_value("50")  # where the wipe from before to after ends


def test_the_sample_follows_the_choice(page):
    page.get_by_role("radio", name="Haze").check()
    expect(page.locator("#sample-after")).to_have_attribute("src", "web/pictures/haze-restored.jpg")
    expect(page.locator("#hint")).to_contain_text("pale distance")
    page.click("#sample")
    await_mode(page, "done")
    assert downloaded(page)[0] == "haze-dehazed.jpg"


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


def test_progress_counts_until_it_is_cancelled(page, service):
    large = drawn(3000, 3000)
    most = most_tiles(3000, 3000, lambda height, width: TilePlan(height, width, TILE, OVERLAP), "derain")
    choose(page, photo("large.jpg", large, "jpeg"))
    words = page.locator("#working-words")
    expect(words).to_have_text(re.compile(r"^\d+% · [1-9]\d* of \d+ tiles · .* left$"))
    assert 0 < int(words.inner_text().split(" of ")[1].split()[0]) <= most  # the survey finds out how many it takes
    assert 0 < page.locator("#progress").evaluate("bar => bar.position") < 1
    expect(page).to_have_title(re.compile(r"^\d+% · DMSR"))
    page.click("#cancel")
    await_mode(page, "welcome")
    expect(page).to_have_title(re.compile("^DMSR"))
    give_up = time.monotonic() + 20
    while 'dmsr_queue_tiles{task="derain"} 0.0' not in httpx.get(f"{service.url}/metrics").text:
        assert time.monotonic() < give_up, "the service goes on with what was cancelled"


def test_a_batch_has_one_progress_and_can_be_given_up_as_a_whole(page):
    large = drawn(3000, 3000)
    choose(page, photo("small.png"), photo("large.jpg", large, "jpeg"), photo("last.png"))
    expect(page.locator("#working-name")).to_have_text("1 of 3 photos")
    assert page.locator("#progress").evaluate("bar => bar.value") >= 1 / 3
    page.click("#cancel-all")
    expect(page.locator("#working")).to_be_hidden()
    await_mode(page, "done")  # small.png was done and is kept
    assert downloaded(page)[0] == "small-derained.png"


def test_several_photos_are_worked_off_one_after_the_other(page):
    names = ["one.png", "two.png", "three.png"]
    restored(page, *(photo(name, drawn(64 + 30 * i, 90, seed=i)) for i, name in enumerate(names)))
    for i, name in enumerate(names):
        page.get_by_role("button", name=f"{name}, done").click()
        title, data = downloaded(page)
        assert (title, decoded(data).shape[0]) == (name.replace(".png", "-derained.png"), 64 + 30 * i)


def test_one_photo_can_be_removed(page):
    all_restored(page, photo("one.png"), photo("two.png"), photo("three.png"))
    page.click("#remove")
    page.get_by_role("button", name="three.png, done").press("Delete")
    expect(page.locator("#strip")).to_be_hidden()  # one is left
    assert downloaded(page)[0] == "two-derained.png"
    page.click("#remove")
    await_mode(page, "welcome")


def test_another_choice_starts_all_photos_anew_and_the_first_is_remembered(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    all_restored(page, photo("one.png"), photo("two.png"))
    page.get_by_role("radio", name="Haze").check()
    expect(page.get_by_role("button", name="two.png, done")).to_be_visible()
    expect(page.locator("#working")).to_be_hidden()
    assert downloaded(page)[0] == "one-dehazed.png"
    page.get_by_role("radio", name="Rain").check()
    assert downloaded(page)[0] == "one-derained.png"
    assert len(asked) == 4


def test_both_takes_rain_off_and_then_haze(page, service):
    page.get_by_role("radio", name="Both").check()
    expect(page.locator("#hint")).to_contain_text("Rain first, then haze")
    restored(page)
    first = httpx.post(f"{service.url}/derain?format=png", content=encoded(PHOTO)).content
    second = httpx.post(f"{service.url}/dehaze?format=png", content=first).content
    assert downloaded(page) == ("rainy-cleared.png", second)


@pytest.mark.parametrize("task", ["Rain", "Both"])
def test_the_command_does_the_same(page, tmp_path, task):
    page.get_by_role("radio", name=task).check()
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


def test_the_size_of_the_rain_can_be_chosen_by_hand(page, visits, service):
    """Found by itself at first; a chosen size is asked for again, shown, downloaded and written as a command."""
    rgb = drawn(300, 400)
    restored(page, photo(rgb=rgb))
    page.click("summary")
    facts, size = page.locator("#facts"), page.get_by_label("Size of the rain")
    expect(facts).to_contain_text("Restored at1:1")
    assert size.locator("option").all_text_contents() == ["Find it", "1:1", "1:2", "1:4", "1:8", "1:16"]
    size.select_option("1:4")
    expect(facts).to_contain_text("Restored at1:4")
    expect(page.locator("#command")).to_contain_text("scale=0.25")
    assert downloaded(page)[1] == httpx.post(f"{service.url}/derain?scale=0.25", content=encoded(rgb)).content
    page.get_by_role("radio", name="Both").check()
    expect(facts).to_contain_text("Rain: Restored at1:4")
    expect(facts).to_contain_text("Haze: Restored at1:1")
    page.get_by_role("radio", name="Haze").check()
    expect(size).to_be_hidden()
    assert not [url for url in visits.requests if "/dehaze" in url and "scale" in url]


def test_a_photo_without_rain_is_told_to_be_left_as_it_was(page):
    grey = np.full((120, 180, 3), 90, np.uint8)
    restored(page, photo(rgb=grey))
    expect(page.locator("#summary")).to_contain_text("No rain was found and nothing was changed")
    page.click("summary")
    expect(page.locator("#facts")).to_contain_text("no rain found, so left as it was")
    assert np.array_equal(decoded(downloaded(page)[1]), grey)


def test_what_is_no_photo_is_told_before_the_upload_with_its_name(page):
    posts = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.wait_for_load_state("networkidle")
    choose(page, NO_PICTURE)
    trouble = page.get_by_role("alert")
    expect(trouble).to_contain_text("notes.txt")
    expect(trouble).to_contain_text("no photo that the service can read")
    assert trouble.locator("h2").text_content() == "Choose a JPEG or PNG"  # the advice first
    page.get_by_role("button", name="Remove").click()
    await_mode(page, "welcome")
    assert posts == []


def test_what_is_too_large_is_told_before_the_upload_in_megabytes(visits, both_weights, tmp_path):
    limits = {"DMSR_LIMITS_BODY_BYTES": "200000", "DMSR_LIMITS_PIXELS": "200000"}
    with run_server(tmp_path, both_weights | limits) as strict:
        visits.url = strict.url
        page = visits.open()
        page.wait_for_load_state("networkidle")
        choose(page, photo("noise.png", drawn(400, 420)), photo("wide.jpg", drawn(900, 900) // 64 * 64, "jpeg"))
        expect(page.locator("#trouble-what")).to_contain_text("0.2 MB are taken")
        expect(page.locator("#trouble-file")).to_contain_text("noise.png, ")
        page.get_by_role("button", name="wide.jpg, failed").click()
        expect(page.locator("#trouble-remedy")).to_contain_text("smaller")
        expect(page.locator("#trouble-what")).to_contain_text("It has 0.8 MP; at most 0.2 MP are taken.")


def test_a_damaged_photo_is_told_in_plain_words(page, visits):
    choose(page, photo("cut.png") | {"buffer": encoded(PHOTO)[:900]})
    expect(page.get_by_role("alert")).to_contain_text("The file is damaged")
    assert "422" in visits.errors.pop()


@pytest.mark.parametrize(("slug", "status"), [("warming", 503), ("overloaded", 429)])
def test_a_service_that_is_starting_or_busy_is_waited_for_with_a_countdown(page, visits, slug, status):
    asked = []

    def answer(route):
        asked.append(route.request.url)
        if len(asked) > 1:
            route.continue_()
        else:
            problem = {"type": f"/problems/{slug}", "detail": "Not yet.", "retry_after_seconds": 3}
            route.fulfill(status=status, content_type="application/problem+json", body=json.dumps(problem))

    page.route("**/derain*", answer)
    choose(page, photo())
    for left in (3, 2, 1):
        expect(page.locator("#working-words")).to_contain_text(f"goes on by itself in {left} s")
    await_mode(page, "done")
    assert len(asked) == 2
    assert [str(status) in error for error in visits.errors] == [True]  # the browser's own remark
    visits.errors.clear()


def test_the_page_says_that_the_service_is_starting(visits):
    page = visits.open("about:blank")
    states = iter(["warming", "ready"])
    page.route("**/readyz", lambda route: route.fulfill(status=200, body=next(states)))
    page.goto(visits.url)
    expect(page.locator("#state")).to_contain_text("The service is starting")
    expect(page.locator("#state")).to_be_empty()


def test_an_unreachable_service_can_be_tried_again(page, visits):
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    choose(page, photo())
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    await_mode(page, "done")
    assert {"ERR_INTERNET_DISCONNECTED" in error for error in visits.errors} == {True}
    visits.errors.clear()


def test_leaving_while_a_photo_is_in_work_asks_first(page):
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.click("h1")  # a page nobody touched may not ask
    choose(page, photo("large.jpg", drawn(3000, 3000), "jpeg"))
    await_mode(page, "working")
    page.close(run_before_unload=True)
    page.wait_for_timeout(500)  # the question comes from the browser, of which no event tells that it does not
    assert asked == ["beforeunload"]
    page.click("#cancel")


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
        assert page.goto(f"{guarded.url}/docs").ok  # the reference is for all
        page.close()  # before the server ends, which it would miss
    assert all("401" in error for error in visits.errors)
    visits.errors.clear()
