import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from app.cli.evaluate import evaluate


@pytest.fixture
def dmsr():
    app = typer.Typer()
    app.command()(evaluate)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("input", "target"):
        folder = tmp_path / "pairs" / kind
        folder.mkdir(parents=True)
        for name in ("a", "b"):
            Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(folder / f"{name}.png")
    return tmp_path / "pairs"


def test_scores_are_shown_and_written(dmsr, pairs, tiny_weights, tmp_path):
    result = dmsr(pairs, "--weights", tiny_weights, "--json", tmp_path / "scores.json")
    assert result.exit_code == 0, result.output
    assert "mean of 2" in result.output
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert list(scores) == ["mean", "images"]
    assert list(scores["images"]) == ["a", "b"]
    keys = ["psnr_y", "ssim_y", "psnr_rgb", "input_psnr_y", "input_ssim_y", "input_psnr_rgb", "tile_step"]
    assert list(scores["mean"]) == keys
    assert f"{scores['mean']['psnr_y']:.2f}" in result.output


def test_a_part_of_the_pictures_can_be_taken(dmsr, pairs, tiny_weights):
    assert "mean of 1" in dmsr(pairs, "--weights", tiny_weights, "--take", "2/2").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--task", "desnow"], "desnow"),
        (["--tiling", "mosaic"], "mosaic"),
        (["--take", "9/2"], "9/2"),
    ],
)
def test_wrong_words_end_with_one_line(dmsr, pairs, tiny_weights, words, message):
    weights = [] if words[0] in ("--weights", "--task") else ["--weights", tiny_weights]
    result = dmsr(pairs, *weights, *words)
    assert result.exit_code == 2
    assert message in result.output
