"""The page as an app: installable, and there when the service is not."""

import re

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="the page's tests need the dev extra").expect

from tests.web.visitor import photo, restored, until  # noqa: E402

pytestmark = pytest.mark.web


def test_the_page_opens_without_the_service(visits):
    page = visits.open(locale="de-DE", service_workers="allow")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    until(page, "navigator.serviceWorker.controller !== null")
    page.context.set_offline(True)
    page.reload()
    expect(page.locator("#choose-large")).to_have_text("Fotos auswählen")
    expect(page.locator("#state")).to_contain_text("nicht erreichbar")
    assert page.locator("#sample-after").evaluate("image => image.naturalWidth") > 0
    page.context.set_offline(False)
    expect(page.locator("#state")).to_be_empty()
    restored(page)
    assert {"ERR_INTERNET_DISCONNECTED" in error for error in visits.errors} == {True}
    visits.errors.clear()


def test_photos_never_pass_through_the_cache(visits):
    page = visits.open(service_workers="allow")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    restored(page, photo())
    kept = page.evaluate(
        "caches.open('dmsr-page').then((cache) => cache.keys()).then((keys) => keys.map((key) => key.url))"
    )
    assert kept
    assert not [url for url in kept if re.search("derain|/progress/|/models", url)]


def test_the_browser_finds_it_installable(visits):
    page = visits.open(service_workers="allow")
    session = page.context.new_cdp_session(page)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    assert session.send("Page.getAppManifest")["errors"] == []
    # A private window, which is what a test has, can never install.
    errors = [error["errorId"] for error in session.send("Page.getInstallabilityErrors")["installabilityErrors"]]
    assert set(errors) <= {"in-incognito"}
