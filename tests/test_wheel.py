"""A wheel built from the repository is all that a stranger needs: code, page, recipes and weights."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import model
from model.checkpoints.catalog import shipped
from model.checkpoints.checkpoint import TASKS
from tests.e2e.server import run_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent
PACKED = ("app", "model", "weights")

PROGRAM = """
import sys
import numpy as np
import model
from PIL import Image
from model import Restorer
assert model.__file__.startswith(sys.prefix), model.__file__
rainy = np.asarray(Image.open("rainy.png"))
for task in ("derain", "dehaze"):
    clean = Restorer.load(task, device="cpu").restore(rainy)
    assert clean.shape == rainy.shape and not np.array_equal(clean, rainy), task
print(model.__version__)
"""


def run(*command, cwd, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=kept | environment, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, because setuptools leaves its folders in the source."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKED:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    run(*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", built, source, cwd=source)
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An environment with the wheel; what it depends on is taken from the one that runs this."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", wheel, cwd=folder)
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # A .pth file's folders come last and their own .pth files do not count: the clone this runs from stays out.
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def elsewhere(tmp_path):
    """Another folder, with a picture."""
    y, x = np.mgrid[:150, :200]
    rainy = np.stack([60 + x // 2, 80 + y // 2, 120 + (x + y) // 4], -1).astype(np.uint8)
    rainy[::3, ::17] = 250
    Image.fromarray(rainy).save(tmp_path / "rainy.png")
    return tmp_path


def test_the_wheel_holds_every_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.split("/")[0] in PACKED}
    files = [path for name in PACKED for path in (ROOT / name).rglob("*") if path.is_file()]
    assert packed == {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}


def test_the_library_works_from_any_folder(python, elsewhere):
    assert run(python, "-c", PROGRAM, cwd=elsewhere).strip() == model.__version__


def test_the_command_line_works_from_any_folder(python, elsewhere):
    dmsr = python.with_name("dmsr")
    assert run(dmsr, "--version", cwd=elsewhere).strip() == f"dmsr {model.__version__}"
    run(dmsr, "restore", "rainy.png", "-o", "clean.png", "--device", "cpu", cwd=elsewhere)
    assert Image.open(elsewhere / "clean.png").size == (200, 150)


def test_the_service_finds_its_page_and_weights(python, tmp_path):
    command = [str(python.with_name("dmsr")), "serve", "--port", "{port}"]
    with run_server(tmp_path, {"PYTHONPATH": "", "DMSR_RUNNER_MAX_TILES": "1"}, "/livez", command) as server:
        assert "<title>" in httpx.get(server.url).text
        assert httpx.get(f"{server.url}/web/languages/zh.json").status_code == 200
        loaded = {card["task"]: card["sha256"] for card in httpx.get(f"{server.url}/models").json()}
        assert loaded == {task: shipped(task)[1] for task in TASKS}
