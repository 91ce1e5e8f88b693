"""The Serve config file on a cluster that the command line starts: deploy, status, a picture, a mistake, shutdown."""

import os
import signal
import subprocess
import sysconfig
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
import yaml

from tests.deploy.test_ray_manifests import CONFIG
from tests.e2e.server import DEFAULTS, ROOT, free_port
from tests.pictures import decoded, drawn, encoded

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SCRIPTS = Path(sysconfig.get_path("scripts"))
GIVE_UP_SECONDS = 240


class CommandLine:
    """Call `serve` as an operator does, on the cluster whose dashboard is at this port."""

    def __init__(self, dashboard_port, environment, folder):
        self.environment = {**environment, "RAY_DASHBOARD_ADDRESS": f"http://127.0.0.1:{dashboard_port}"}
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, *arguments):
        return subprocess.run(
            [SCRIPTS / "serve", *arguments], env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    def deploy(self, settings):
        """Deploy the config file with one restorer on a CPU, these settings, and a port of its own."""
        config = yaml.safe_load(CONFIG.read_text())
        config["http_options"]["port"] = self.port
        (application,) = config["applications"]
        application["args"] = {**application["args"], "restorers": 1, "gpus": 0, "ingress_cpus": 0}
        application["runtime_env"]["env_vars"] |= settings
        path = self.folder / "serve.yml"
        path.write_text(yaml.safe_dump(config))
        done = self.serve("deploy", str(path))
        assert done.returncode == 0, done.stderr

    def status(self):
        (application,) = yaml.safe_load(self.serve("status").stdout)["applications"].values()
        return application

    def await_status(self, wanted):
        """Wait until the application has this status; returns what `serve status` says of it."""
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up:
            found = self.status()
            if found["status"] == wanted:
                return found
            assert found["status"] not in ("DEPLOY_FAILED", "UNHEALTHY"), found
            time.sleep(1)  # Serve has no event for it
        raise AssertionError(f"not {wanted} after {GIVE_UP_SECONDS} s: {found}")


@contextmanager
def run_head(folder):
    """Run `ray start --head` with its dashboard in the foreground; gives the dashboard's port, stops all of it."""
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DMSR_", "RAY_"))} | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deploy.ray.proxy:middlewares",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
    }
    command = [SCRIPTS / "ray", "start", "--head", "--block", "--num-cpus=2", "--node-ip-address=127.0.0.4"]
    command += [f"--port={free_port()}", f"--dashboard-port={port}", f"--ray-client-server-port={free_port()}"]
    command += ["--object-store-memory=83886080", f"--temp-dir={folder}"]
    with open(folder / "head.log", "wb") as log:
        head = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        await_answer(f"http://127.0.0.1:{port}/api/serve/applications/")
        yield port, environment
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)


def await_answer(url):
    """Wait until somebody says 200 there."""
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < give_up:
        try:
            if httpx.get(url, timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"{url} did not answer in {GIVE_UP_SECONDS} s")


@pytest.fixture(scope="module")
def operator(tmp_path_factory):
    with (
        TemporaryDirectory(prefix="ray", dir="/tmp") as folder,  # Ray's sockets need short paths
        run_head(Path(folder)) as (port, environment),
    ):
        yield CommandLine(port, environment, tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def settings(tiny_weights):
    return {**DEFAULTS, "DMSR_WEIGHTS_DERAIN": str(tiny_weights), "DMSR_WEIGHTS_DEHAZE": "off"}


def test_the_config_file_is_deployed_and_serves(operator, settings, server):
    operator.deploy(settings)
    operator.await_status("RUNNING")
    await_answer(f"{operator.url}/readyz")
    picture = encoded(drawn(40, 50))
    here, there = (httpx.post(f"{url}/derain", content=picture, timeout=120) for url in (operator.url, server.url))
    assert (here.status_code, there.status_code) == (200, 200)
    assert abs(decoded(here.content).astype(int) - decoded(there.content)).max() <= 1


def test_a_misspelt_setting_is_told_and_what_ran_goes_on(operator, settings):
    operator.deploy({**settings, "DMSR_AUTH_KEY_FILE": "/nowhere"})
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while (found := operator.status())["status"] != "DEPLOY_FAILED":
        assert time.monotonic() < give_up, found
        time.sleep(1)
    assert "unknown variables: DMSR_AUTH_KEY_FILE" in found["message"]
    assert httpx.get(f"{operator.url}/readyz", timeout=60).status_code == 200


def test_shutdown_stops_the_service_and_not_the_cluster(operator):
    done = operator.serve("shutdown", "--yes")
    assert done.returncode == 0, done.stderr
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < give_up:
        try:
            httpx.get(f"{operator.url}/livez", timeout=60)
        except httpx.TransportError:
            break
        time.sleep(0.5)
    else:
        raise AssertionError("it still answers")
    assert yaml.safe_load(operator.serve("status").stdout)["applications"] == {}
