"""docs/finetuning.md from its first command to its last, with the smallest network on pairs drawn here."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from model.checkpoints.checkpoint import read_info
from model.data.picture import write_picture
from model.data.rain import add_rain, sample_rain
from model.data.scenes import draw_scenes
from tests.e2e.server import run_server
from tests.pictures import drawn, encoded

ROOT = Path(__file__).parents[2]
RECIPE = "model/training/recipes/finetune.toml"
PAGE = (ROOT / "docs/finetuning.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]

SMALLER = {
    "width = 16": "width = 4",
    "depth = 4": "depth = 1",
    "tile = 144": "tile = 64",
    "crop = 128": "crop = 64",
    "steps = 600": "steps = 30",
    "peak_rate = 5e-4": "peak_rate = 5e-3",  # the weights it begins from are random
    "drawn = 24": "drawn = 2",
    "drawn = 4": "drawn = 1",
}


@pytest.fixture
def folder(tmp_path, tiny_weights):
    """What the page's reader has: pairs, the recipe, weights to begin from."""
    rng = np.random.default_rng(0)
    for half in ("rainy", "norain"):
        (tmp_path / "DATA/pairs" / half).mkdir(parents=True)
    for index, scene in enumerate(draw_scenes(10, seed=5)):
        clean = scene[:96, :120]
        write_picture(tmp_path / f"DATA/pairs/norain/{index}.png", clean)
        write_picture(tmp_path / f"DATA/pairs/rainy/{index}.png", add_rain(clean, sample_rain(rng, 0.5), rng))
    recipe = (ROOT / RECIPE).read_text()
    for text, smaller in SMALLER.items():
        assert recipe.count(text) == 1, text
        recipe = recipe.replace(text, smaller)
    for path, data in ((RECIPE, recipe.encode()), ("weights/derain-w16d4.safetensors", tiny_weights.read_bytes())):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(data)
    return tmp_path


def dmsr(line, folder, *more):
    words = [*shlex.split(line)[1:], *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "app.cli", *words]
    ended = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def score(said):
    """The mean PSNR on Y that `dmsr evaluate` printed."""
    return float(re.search(r"mean of 1\D+([\d.]+)", said)[1])


@pytest.mark.slow  # five processes, and each loads PyTorch
@pytest.mark.timeout(600)
def test_the_page_leads_from_pairs_to_weights_served(folder):
    before, train, after, look, serve = COMMANDS
    shipped = ("--weights", "weights/derain-w16d4.safetensors")
    said = dmsr(before, folder, *shipped)
    assert "DATA/pairs: rainy/ and norain/, matched by name" in said
    assert "--minutes 10" in train
    dmsr(train.replace(" --minutes 10", ""), folder)  # by steps, because a busy machine takes few in any time
    assert read_info(folder / "RUN/best.safetensors").training["step"] == 30
    assert score(dmsr(after, folder)) > score(said)
    dmsr(look, folder)
    assert len(list((folder / "LOOK").glob("*.png"))) == 10
    variable, *command = shlex.split(serve)
    name, _, path = variable.partition("=")
    assert command == ["dmsr", "serve"]
    settings = {name: str(folder / path), "DMSR_WEIGHTS_DEHAZE": "off", "DMSR_RUNNER_MAX_TILES": "1"}
    with run_server(folder, settings) as server:
        answer = httpx.post(f"{server.url}/derain", content=encoded(drawn(70, 90)), timeout=60)
        assert answer.status_code == 200
        assert answer.headers["x-dmsr-weights"].startswith("best; sha256=")


def test_every_key_of_the_recipe_is_explained():
    keys = set(re.findall(r"^(\w+) =|^\[+(\w+)\]", (ROOT / RECIPE).read_text(), re.MULTILINE))
    table = PAGE.split("## The keys of the recipe")[1]
    assert not [name for pair in keys for name in pair if name and not re.search(rf"`\[*{name}\]*`", table)]
