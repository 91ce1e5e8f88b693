"""What the release workflow promises, read without running it."""

import re
from pathlib import Path

import yaml

from model import __version__

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / ".github/workflows/release.yml").read_text()
JOBS = yaml.safe_load(TEXT)["jobs"]
BUILD = JOBS["publish"]["steps"][-1]["with"]


def test_every_action_is_named_by_its_commit():
    actions = re.findall(r"uses: (\S+)", TEXT)
    assert actions
    assert not [action for action in actions if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)]


def test_nothing_is_published_that_the_smoke_test_has_not_passed():
    assert JOBS["publish"]["needs"] == "smoke"
    assert "deploy/smoke" in [step.get("run") for step in JOBS["smoke"]["steps"]]


def test_both_builds_are_published_with_provenance_and_contents():
    builds = {item["torch"]: item["platforms"] for item in JOBS["publish"]["strategy"]["matrix"]["include"]}
    assert builds == {"cpu": "linux/amd64,linux/arm64", "cuda": "linux/amd64"}
    assert (BUILD["provenance"], BUILD["sbom"], BUILD["push"]) == ("mode=max", True, True)


def test_the_build_arguments_are_the_dockerfile_s():
    known = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert {line.partition("=")[0] for line in BUILD["build-args"].splitlines()} == {"TORCH", "VERSION", "REVISION"}
    assert {"TORCH", "VERSION", "REVISION"} <= known


def test_the_version_is_the_same_everywhere():
    """The wheel takes it from model/__init__.py, and so does the workflow's check of the tag."""
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\nARG VERSION={__version__}\n" in (ROOT / "Dockerfile").read_text()
    (check,) = [step["run"] for step in JOBS["smoke"]["steps"] if "GITHUB_REF_NAME" in step.get("run", "")]
    assert check.endswith(" model/__init__.py")
    assert f'\n__version__ = "{__version__}"\n' in (ROOT / "model/__init__.py").read_text()


def test_the_token_may_do_no_more_than_it_must():
    assert yaml.safe_load(TEXT)["permissions"] == {}
    assert JOBS["smoke"]["permissions"] == {"contents": "read"}
    assert JOBS["publish"]["permissions"] == {"contents": "read", "packages": "write"}
