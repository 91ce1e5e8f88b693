"""A real Prometheus and a real Alertmanager: an alert reaches its receiver, and the autoscaler's metric its rule."""

import json
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlencode

import httpx
import pytest
import yaml

from tests.deploy.test_kubernetes import FOLDER, manifests
from tests.e2e.server import ROOT, free_port
from tests.e2e.test_prometheus import CONFIG, GIVE_UP_SECONDS, await_values, run_prometheus, values
from tests.pictures import drawn, encoded

ALERTMANAGER = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
SHIPPED = (ROOT / "deploy/alertmanager/alertmanager.yml").read_text()

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
with_alertmanager = pytest.mark.skipif(ALERTMANAGER is None, reason="alertmanager is not installed")


@contextmanager
def run_receiver():
    """Take webhooks; gives the address and the list of alerts that came."""
    came = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            came.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", came
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def run_alertmanager(folder, receiver):
    """Run Alertmanager on the shipped configuration, filled in with this receiver, and in a hurry."""
    config = folder / "alertmanager.yml"
    config.write_text(
        SHIPPED.replace("https://fill-in.invalid/", receiver).replace("group_wait: 30s", "group_wait: 100ms")
    )
    address = f"127.0.0.1:{free_port()}"
    command = [ALERTMANAGER, f"--config.file={config}", f"--storage.path={folder}", f"--web.listen-address={address}"]
    with open(folder / "alertmanager.log", "wb") as log:
        process = subprocess.Popen([*command, "--cluster.listen-address="], stdout=log, stderr=log)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(20)


@with_alertmanager
def test_the_shipped_configuration_is_valid():
    subprocess.run(
        ["amtool", "check-config", ROOT / "deploy/alertmanager/alertmanager.yml"], check=True, capture_output=True
    )


@with_alertmanager
def test_a_server_that_is_gone_reaches_the_receiver(tmp_path):
    """With nobody at the target's port; the minute that DmsrDown waits is shortened."""
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text().replace("for: 1m", "for: 1s")
    gone = f"127.0.0.1:{free_port()}"
    with (
        run_receiver() as (address, came),
        run_alertmanager(tmp_path, address) as alertmanager,
        run_prometheus(tmp_path, gone, alertmanager, alerts=alerts),
    ):
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while not came and time.monotonic() < give_up:
            time.sleep(0.1)
    names = {(alert["labels"]["alertname"], alert["labels"]["instance"], alert["labels"]["severity"]) for alert in came}
    assert names == {("DmsrDown", gone, "page")}


def expanded(query, **values):
    """Fill in a query of prometheus-adapter's, as it does: <<.Name>> by name."""
    for name, value in values.items():
        query = query.replace(f"<<.{name}>>", value)
    assert "<<" not in query
    return query


@pytest.mark.timeout(240)
def test_the_autoscaler_s_metric_comes_through_the_adapter_s_rule(server, tmp_path):
    """For pods scraped as the PodMonitor has it: found by the rule's series query, and one value for each pod.

    The adapter asks in this order, and fills <<.…>> in like this: github.com/kubernetes-sigs/prometheus-adapter,
    docs/config.md.
    """
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter.yml").read_text())["rules"]["custom"]
    (metric,) = manifests("base")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    target = server.url.removeprefix("http://")
    config = yaml.safe_load(CONFIG)
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "dmsr")
    job["static_configs"] = [
        {"targets": [target], "labels": {"namespace": "default", "pod": pod}} for pod in ("dmsr-a", "dmsr-b")
    ]
    query = expanded(
        rule["metricsQuery"],
        Series=metric["pods"]["metric"]["name"],
        LabelMatchers='namespace="default",pod=~"dmsr-a|dmsr-b"',
        GroupBy="pod",
    )
    with run_prometheus(tmp_path, target, prometheus=yaml.safe_dump(config)) as base:
        assert await_values(base, f"count({query}) == 2")
        found = httpx.get(f"{base}/api/v1/series?{urlencode({'match[]': rule['seriesQuery']})}").json()["data"]
        assert {series["__name__"] for series in found} == {metric["pods"]["metric"]["name"]}
        resources = rule["resources"]["overrides"]
        assert {tuple(series[label] for label in resources) for series in found} == {
            ("default", "dmsr-a"),
            ("default", "dmsr-b"),
        }
        picture, seen = encoded(drawn(300, 300)), threading.Event()

        def keep_posting():
            """Keep tiles waiting until both scrapes, which are half a second apart at most, have seen them."""
            codes = set()
            while not seen.is_set():
                codes.add(httpx.post(f"{server.url}/derain", content=picture, timeout=200).status_code)
            return codes

        with ThreadPoolExecutor(4) as callers:
            posting = [callers.submit(keep_posting) for _ in range(4)]
            try:
                assert await_values(base, f"count({query} > 0) == 2")
            finally:
                seen.set()
            assert [future.result() for future in posting] == [{200}] * 4
        assert values(base, 'count by (job) (up{pod!=""})') == [2]
