"""The locks that images are built from: complete, by hash, and of the versions that are tested here."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "image"
LOCKS = {path.stem: path.read_text() for path in FOLDER.glob("*.txt")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BASE = re.compile(r"python:3\.11-slim@sha256:[0-9a-f]{64}")


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(text):
    """Map each package to its version."""
    return {canonical(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)}


def names(requirements):
    return {canonical(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


CONSTRAINTS = pinned((ROOT / "constraints.txt").read_text())


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_a_hash(lock):
    entries = re.split(r"^(?=[a-z])", LOCKS[lock], flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_the_versions_are_those_that_are_tested(lock):
    """After a change of constraints.txt, deploy/image/lock writes them anew."""
    locked = pinned(LOCKS[lock])
    assert {name: locked[name] for name in locked.keys() & CONSTRAINTS.keys()}.items() <= CONSTRAINTS.items()


@pytest.mark.parametrize("torch", ["torch-cpu", "torch-cuda"])
def test_nothing_that_the_project_asks_for_is_missing(torch):
    has = pinned(LOCKS[torch]).keys() | pinned(LOCKS["libraries"]).keys()
    assert names(PROJECT["project"]["dependencies"]) <= has
    assert names(PROJECT["build-system"]["requires"]) <= has
    assert names(PROJECT["project"]["optional-dependencies"]["ray"]) <= pinned(LOCKS["ray"]).keys()


def test_the_cpu_build_brings_nothing_of_nvidia_s():
    assert pinned(LOCKS["torch-cpu"]).keys() == {"torch"}
    assert [name for name in pinned(LOCKS["torch-cuda"]) if name.startswith("nvidia-")]
    assert not [name for name in pinned(LOCKS["libraries"]) if name.startswith("nvidia-")]


def test_both_processors_have_a_cpu_build():
    assert LOCKS["torch-cpu"].count("--hash=") == 2


def test_one_base_is_named_by_digest_everywhere():
    compose = yaml.safe_load((ROOT / "deploy/compose/service.yml").read_text())["services"]["dmsr"]["build"]["args"]
    found = [BASE.findall((ROOT / name).read_text()) for name in ("Dockerfile", "deploy/ray/Dockerfile")]
    assert found == [BASE.findall(compose["PYTHON_IMAGE"])] * 2
    assert len(found[0]) == 1


def test_pip_installs_by_hash_only():
    for name in ("Dockerfile", "deploy/ray/Dockerfile"):
        for command in re.findall(r"pip\b[^\n]* install [^\n]*", (ROOT / name).read_text()):
            assert "--no-deps" in command
            assert "--require-hashes" in command or "--no-build-isolation --target /dmsr ." in command
