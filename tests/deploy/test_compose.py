"""What the compose files, the image and .env.example promise, read without Docker; deploy/smoke runs them for real."""

import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from app.settings import Settings, SettingsError, variables

ROOT = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "docker-compose.cpu.yml")
SERVICE = yaml.safe_load((ROOT / "deploy/compose/service.yml").read_text())["services"]
ENVIRONMENT = (ROOT / ".env.example").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()


with_compose = pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")


def fits(name, patterns):
    """Tell whether a path is one of these, in one of these folders, or fits a glob."""
    return any(name == pattern or name.startswith(f"{pattern}/") or fnmatch(name, pattern) for pattern in patterns)


def load(name):
    return yaml.safe_load((ROOT / name).read_text())


def defaults(text):
    """Map every ${NAME-default} to its default."""
    return dict(re.findall(r"\$\{(\w+)-([^}]*)\}", text))


def config(folder, name, *options, **environment):
    """Return what docker-compose makes of a copy of the files in which .env is .env.example."""
    for path in (*FILES, ".env.example", "deploy/compose/service.yml"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    with open(folder / ".env", "w") as env:
        env.write(ENVIRONMENT + "".join(f"{option}\n" for option in options))
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("DMSR_", "COMPOSE_"))}
    done = subprocess.run(
        ["docker-compose", "--file", name, "--profile", "monitoring", "config"],
        cwd=folder,
        env=clean | environment,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return yaml.safe_load(done.stdout)


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
    assert services.keys() == {"dmsr", "prometheus", "alertmanager", "grafana"}
    for service, parts in services.items():
        assert parts["extends"] == {"file": "deploy/compose/service.yml", "service": service}
        assert parts.get("profiles") == (None if service == "dmsr" else ["monitoring"])


def test_the_files_differ_in_the_gpu_only():
    gpu, cpu = (load(name) for name in FILES)
    assert gpu["services"]["dmsr"].pop("environment") == ["DMSR_DEVICES=${DMSR_DEVICES:-cuda}"]
    reservation = gpu["services"]["dmsr"].pop("deploy")["resources"]["reservations"]["devices"]
    assert reservation == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    for file in (gpu, cpu):
        del file["services"]["dmsr"]["image"], file["services"]["dmsr"]["build"]
    assert gpu == cpu


@pytest.mark.parametrize("service", SERVICE)
def test_each_port_has_a_bind_of_its_own_on_this_machine_only_by_default(service):
    """Opening the service must not open Prometheus, which asks nobody for a password."""
    (port,) = SERVICE[service]["ports"]
    assert port.startswith(f"${{{'' if service == 'dmsr' else service.upper() + '_'}BIND-127.0.0.1}}:")


@pytest.mark.parametrize("service", SERVICE)
def test_every_container_can_do_no_more_than_it_must(service):
    parts = SERVICE[service]
    assert parts["cap_drop"] == ["ALL"]
    assert parts["security_opt"] == ["no-new-privileges:true"]
    assert parts["read_only"] is True
    assert parts["pids_limit"] > 0  # a number: compose 1.29 takes a variable for text, and fails
    assert parts["mem_limit"]
    assert ":size=" in parts.get("tmpfs", ":size=")
    for volume in parts["volumes"]:
        assert isinstance(volume, str) or volume["read_only"] is True


@pytest.mark.parametrize("service", SERVICE)
def test_no_password_or_key_is_in_the_files(service):
    """They are mounted from deploy/private, which git ignores."""
    assert not [name for name in SERVICE[service].get("environment", ()) if re.search("PASSWORD|SECRET|TOKEN", name)]
    assert not re.search("PASSWORD|SECRET|TOKEN", ENVIRONMENT)


def test_what_is_private_stays_private():
    """Neither git nor the image takes it along; the folders are there, or Docker would make them, for root."""
    folders = [volume["source"] for parts in SERVICE.values() for volume in parts["volumes"] if "source" in volume]
    names = {Path(source).name for source in folders if source.startswith("../private/")} | {"weights"}
    assert names == {path.name for path in (ROOT / "deploy/private").iterdir() if path.is_dir()}
    for name in names:
        assert (ROOT / "deploy/private" / name / ".gitignore").read_text() == "*\n!.gitignore\n"
        assert f"| `{name}` |" in (ROOT / "deploy/private/README.md").read_text()


def test_the_stop_grace_is_longer_than_the_drain():
    grace = int(SERVICE["dmsr"]["stop_grace_period"].removeprefix("${STOP_GRACE-").removesuffix("s}"))
    assert grace > Settings().server.drain_seconds + 5


def test_env_example_shows_the_defaults_and_nothing_unknown():
    """A line that is commented out may be an example where the variable's default is none."""
    texts = "".join((ROOT / name).read_text() for name in (*FILES, "deploy/compose/service.yml"))
    known = defaults(texts)
    for active, name, value in re.findall(r"^(#?)([A-Z]\w+)=(.*)$", ENVIRONMENT, re.MULTILINE):
        if name.startswith("DMSR_"):
            assert value == str(variables()[name][0]) or (active and variables()[name][0] is None), name
        elif name.startswith("COMPOSE_"):
            assert name in ("COMPOSE_PROJECT_NAME", "COMPOSE_FILE")
        elif not active:
            assert value == known[name], name
        else:
            assert name in known or name in SERVICE["dmsr"]["environment"], name


def test_all_of_env_reaches_the_service():
    assert SERVICE["dmsr"]["env_file"] == "../../.env"


def test_each_file_builds_its_own_torch():
    builds = {name: load(name)["services"]["dmsr"]["build"]["args"] for name in FILES}
    assert [args["TORCH"] for args in builds.values()] == ["cuda", "cpu"]
    known = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    for args in (SERVICE["dmsr"]["build"]["args"], *builds.values()):
        assert args.keys() <= known


def test_the_image_copies_only_what_the_build_context_has():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for text in (DOCKERFILE, (ROOT / "deploy/ray/Dockerfile").read_text())
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert {name for name in copied if not fits(name, allowed)} == set()
    assert {pattern for pattern in allowed if not [name for name in copied if fits(name, {pattern})]} == set()
    assert not [name for name in copied if not list(ROOT.glob(name))]


def test_the_image_is_not_root_and_stops_by_sigterm():
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in last
    assert "HEALTHCHECK" in last
    assert "curl" not in last


@with_compose
@pytest.mark.parametrize("name", FILES)
def test_a_misspelt_setting_reaches_the_service_which_refuses_it(name, tmp_path, monkeypatch):
    environment = config(tmp_path, name, "DMSR_AUTH_KEY_FILE=/run/secrets/keys")["services"]["dmsr"]["environment"]
    assert environment["DMSR_AUTH_KEY_FILE"] == "/run/secrets/keys"
    for variable, value in environment.items():
        if variable.startswith("DMSR_") and value is not None:
            monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match="unknown variables: DMSR_AUTH_KEY_FILE"):
        Settings.from_environment()


@with_compose
@pytest.mark.parametrize("name", FILES)
def test_weights_and_keys_of_one_s_own_need_no_other_file(name, tmp_path):
    service = config(tmp_path, name, "DMSR_WEIGHTS_DERAIN=/weights/mine.safetensors", "WEIGHTS_FOLDER=/srv/weights")
    service = service["services"]["dmsr"]
    assert service["environment"]["DMSR_WEIGHTS_DERAIN"] == "/weights/mine.safetensors"
    mounts = {volume["target"]: volume["source"] for volume in service["volumes"]}
    assert mounts == {"/weights": "/srv/weights", "/run/secrets": str(tmp_path / "deploy/private/dmsr")}


@with_compose
def test_the_shell_wins_over_env(tmp_path):
    found = config(tmp_path, FILES[1], "DMSR_QUEUE_TILES=1", DMSR_QUEUE_TILES="2")["services"]["dmsr"]["environment"]
    assert found["DMSR_QUEUE_TILES"] == "2"


@with_compose
@pytest.mark.parametrize("name", FILES)
def test_the_service_s_bind_opens_nothing_else(name, tmp_path):
    services = config(tmp_path, name, BIND="0.0.0.0")["services"]
    opened = {service for service, parts in services.items() if "127.0.0.1" not in str(parts["ports"])}
    assert opened == {"dmsr"}
