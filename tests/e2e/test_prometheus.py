"""A real Prometheus scrapes the real server, judges its metrics, and answers every question of the dashboard."""

import json
import math
import shutil
import subprocess
import time
from contextlib import contextmanager

import httpx
import pytest

from tests.e2e.server import ROOT, free_port
from tests.pictures import drawn, encoded

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/dmsr.json").read_text())
CONFIG = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
GIVE_UP_SECONDS = 40

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")


def queries():
    """List (panel, expression) of every query of the dashboard."""
    return [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def values(base, expression):
    """Ask Prometheus for the values of an expression."""
    answer = httpx.get(f"{base}/api/v1/query", params={"query": expression}).raise_for_status().json()
    assert answer["status"] == "success", answer
    return [float(series["value"][1]) for series in answer["data"]["result"]]


@contextmanager
def run_prometheus(folder, target, alertmanager="127.0.0.1:9", **replaced):
    """Run Prometheus on the configuration of deploy/, with these targets and in a hurry.

    replaced: another text of a file, by its name without .yml.
    """
    address = f"127.0.0.1:{free_port()}"
    config = replaced.get("prometheus", CONFIG).replace("dmsr:8000", target).replace("alertmanager:9093", alertmanager)
    for name, text in {
        "prometheus.yml": config.replace("localhost:9090", address).replace(": 15s", ": 500ms"),
        "alerts.yml": replaced.get("alerts", (ROOT / "deploy/prometheus/alerts.yml").read_text()),
    }.items():
        (folder / name).write_text(text)
    with open(folder / "prometheus.log", "wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def await_values(base, expression):
    """Wait until an expression has values."""
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < give_up:
        try:
            if found := values(base, expression):
                return found
        except (httpx.TransportError, httpx.HTTPStatusError):
            pass  # it is starting, and says so with 503 once it listens
        time.sleep(0.1)  # Prometheus has no other way to tell
    raise AssertionError(f"{expression} stayed empty for {GIVE_UP_SECONDS} s")


@pytest.fixture(scope="module")
def prometheus(server, tmp_path_factory):
    """A Prometheus that has seen the server restore pictures."""
    with run_prometheus(tmp_path_factory.mktemp("prometheus"), server.url.removeprefix("http://")) as base:
        await_values(base, 'up{job="dmsr"} == 1')
        for seed in range(3):
            httpx.post(f"{server.url}/derain", content=encoded(drawn(90, 120, seed)), timeout=60).raise_for_status()
        await_values(base, 'rate(dmsr_request_duration_seconds_count{task="derain"}[30s]) > 0')
        await_values(base, "dmsr:request_duration_seconds:target")
        yield base


@pytest.mark.parametrize(("panel", "expression"), queries())
def test_every_query_of_the_dashboard_returns_data(prometheus, panel, expression):
    """In the browser an empty panel and a quiet service look alike."""
    found = values(prometheus, expression.replace("$__rate_interval", "30s"))
    assert [value for value in found if math.isfinite(value)], panel


def test_every_rule_can_be_evaluated(prometheus):
    groups = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) >= 10
    assert not [rule["name"] for rule in rules if rule["health"] == "err"]


def test_a_healthy_server_raises_no_alert(prometheus):
    """It has no Alertmanager here, which is what the other one is about."""
    assert not values(prometheus, 'ALERTS{alertname!~"DmsrSlow|DmsrAlertsUndelivered"}')


def test_promtool_finds_nothing_to_mend_in_the_metrics(server):
    metrics = httpx.get(f"{server.url}/metrics").content
    judged = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, check=False)
    assert (judged.returncode, judged.stderr) == (0, b"")
