"""What the compose files, the image and .env.example promise, read without Docker; deploy/smoke runs them for real."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from app.settings import Settings, variables

ROOT = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "docker-compose.cpu.yml")
SERVICE = yaml.safe_load((ROOT / "deploy/compose/service.yml").read_text())["services"]
ENVIRONMENT = (ROOT / ".env.example").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def load(name):
    return yaml.safe_load((ROOT / name).read_text())


def defaults(text):
    """Map every ${NAME-default} to its default."""
    return dict(re.findall(r"\$\{(\w+)-([^}]*)\}", text))


def test_every_setting_can_be_passed_to_the_container():
    """But for the address inside it, which the port mapping relies on."""
    passed = {name for name in SERVICE["dmsr"]["environment"] if name.startswith("DMSR_")}
    assert passed == set(variables()) - {"DMSR_SERVER_HOST", "DMSR_SERVER_PORT"}


def test_old_compose_can_extend_the_service():
    """Compose 1.29 extends no service that depends on another, and reads limits only outside of `deploy`."""
    assert not [name for name, service in SERVICE.items() if service.keys() & {"depends_on", "deploy", "links"}]


@pytest.mark.parametrize("name", FILES)
def test_each_compose_file_is_complete(name):
    services = load(name)["services"]
    assert services.keys() == {"dmsr", "prometheus", "grafana"}
    for service, parts in services.items():
        assert parts["extends"] == {"file": "deploy/compose/service.yml", "service": service}
        assert parts.get("profiles") == (None if service == "dmsr" else ["monitoring"])


def test_the_files_differ_in_the_gpu_only():
    gpu, cpu = (load(name) for name in FILES)
    reservation = gpu["services"]["dmsr"].pop("deploy")["resources"]["reservations"]["devices"]
    assert reservation == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    for file in (gpu, cpu):
        del file["services"]["dmsr"]["image"], file["services"]["dmsr"]["build"]
    assert gpu == cpu


@pytest.mark.parametrize("service", SERVICE)
def test_ports_are_for_this_machine_only_by_default(service):
    assert all(port.startswith("${BIND-127.0.0.1}:") for port in SERVICE[service]["ports"])


def test_the_stop_grace_is_longer_than_the_drain():
    grace = int(SERVICE["dmsr"]["stop_grace_period"].removeprefix("${STOP_GRACE-").removesuffix("s}"))
    assert grace > Settings().server.drain_seconds + 5


def test_env_example_shows_the_defaults_and_nothing_unknown():
    texts = "".join((ROOT / name).read_text() for name in (*FILES, "deploy/compose/service.yml"))
    known = defaults(texts)
    for active, name, value in re.findall(r"^(#?)([A-Z]\w+)=(.*)$", ENVIRONMENT, re.MULTILINE):
        if name.startswith("DMSR_"):
            assert value == str(variables()[name][0]), name
        elif not active:
            assert value == known[name], name
        else:
            assert name in known or name in SERVICE["dmsr"]["environment"], name


def test_the_image_s_torch_is_the_pinned_one():
    assert "grep '^torch==' constraints.txt" in DOCKERFILE
    assert re.search(r"^ARG TORCH_INDEX=", DOCKERFILE, re.MULTILINE)


def test_the_image_copies_only_what_the_build_context_has():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == allowed
    assert not [name for name in copied if not (ROOT / name).exists()]


def test_the_image_is_not_root_and_stops_by_sigterm():
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in last
    assert "HEALTHCHECK" in last
    assert "curl" not in last


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
@pytest.mark.parametrize("name", FILES)
def test_compose_reads_it(name):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("DMSR_", "COMPOSE_"))}
    subprocess.run(
        ["docker-compose", "--file", name, "--profile", "monitoring", "config", "--quiet"],
        cwd=ROOT,
        env=clean,
        check=True,
        capture_output=True,
        timeout=60,
    )
