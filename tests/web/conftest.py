"""A real browser before a real server. Chromium comes from the system, so that nothing is downloaded silently."""

import os
import shutil
from dataclasses import dataclass, field

import pytest
import torch

from model.checkpoints.checkpoint import TASKS, CheckpointInfo, save_checkpoint
from model.network.network import DMSR
from tests.e2e.server import run_server

NAMES = ("chromium", "chromium-browser", "google-chrome")
TILE, OVERLAP = 128, 16
DESKTOP = {"width": 1100, "height": 720}
SLOWEST_MILLISECONDS = 60_000


@pytest.fixture(scope="session")
def both_weights(tmp_path_factory, tiny_config):
    """Settings that name tiny weights for every task: deraining takes specks off, the other is random."""
    # Small batches, because the warm-up tries them all.
    folder, settings = tmp_path_factory.mktemp("weights"), {"DMSR_RUNNER_MAX_TILES": "4"}
    for seed, task in enumerate(TASKS):
        path = folder / f"{task}.safetensors"
        torch.manual_seed(seed)
        network = DMSR(tiny_config)
        if task == "derain":
            take_specks_off(network)
        save_checkpoint(path, network.state_dict(), CheckpointInfo(tiny_config, task, tile=TILE, overlap=OVERLAP))
        settings[f"DMSR_WEIGHTS_{task.upper()}"] = str(path)
    return settings


@torch.no_grad()
def take_specks_off(network: DMSR) -> None:
    """Set the weights so that what is brighter than its neighbours loses it, as rain does, and nothing else changes."""
    steps = 100  # the activation is a corner only from afar: to it a speck is some steps high
    for parameter in network.parameters():
        parameter.zero_()
    network.conv_first.weight[0] = -steps / 3 / 8
    network.conv_first.weight[0, :, 1, 1] = steps / 3
    network.skip_full.weight[0, -network.config.width] = 1  # of the features at full size the first
    network.out_full.weight[:, 0, 1, 1] = -1 / steps


@pytest.fixture(scope="session")
def service(both_weights, tmp_path_factory):
    """A server that can do every task."""
    with run_server(tmp_path_factory.mktemp("server"), both_weights) as running:
        yield running


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        pytest.exit("The page is tested in Chromium, which is missing; on Debian: apt-get install chromium", 1)
    playwright.expect.set_options(timeout=SLOWEST_MILLISECONDS)
    # Chromium's sandbox refuses to run as root, which is who a container runs as.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@dataclass
class Visits:
    """Open pages, and keep a list of what went wrong on them and of where they asked."""

    browser: object
    url: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, url=None, **options):
        """Open the page as a visitor with these options of Playwright's contexts; motion is unwelcome by default."""
        # What a service worker asks for, a test cannot answer; only the tests of the app have one.
        quiet = {"reduced_motion": "reduce", "service_workers": "block"}
        options = {"viewport": DESKTOP, "locale": "en-GB", **quiet, **options}
        context = self.browser.new_context(**options)
        context.set_default_timeout(SLOWEST_MILLISECONDS)
        context.on("request", lambda request: self.requests.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        page.goto(url or self.url)
        return page

    def _note(self, message):
        # A request can end between two questions for its progress; the browser then reports the second one's 404.
        if "Service Worker registration blocked" in message.text:
            return
        if message.type in ("error", "warning") and "/progress/" not in message.location.get("url", ""):
            self.errors.append(message.text)


@pytest.fixture
def visits(browser, service):
    """Visits that must end without an error the test has not taken out of the list, and without leaving the machine."""
    visits = Visits(browser, service.url)
    yield visits
    for context in list(browser.contexts):
        context.close()
    assert visits.errors == []
    assert {request.split("/")[2] for request in visits.requests if request.startswith("http")} <= {
        url.split("/")[2] for url in (service.url, visits.url)
    }


@pytest.fixture
def page(visits):
    return visits.open()
