import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from app.cli.evaluate import evaluate
from model.data.datasets import Pair


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
    assert f"{pairs}: input/ and target/, matched by name" in result.output
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


def test_a_suite_is_judged_by_group_and_by_its_worst_tile(dmsr, tiny_weights, tmp_path, monkeypatch):
    """Two groups stand for the thirty; untrained weights do harm, and the table and the file say so alike."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40, 50, 3), np.uint8) for _ in range(4)]

    def suite(data, task):
        assert (data, task) == (tmp_path, "derain")
        yield from (("dry", Pair(f"dry {index}", picture, picture)) for index, picture in enumerate(pictures[:2]))
        yield "wet", Pair("wet 0", pictures[2], pictures[3])

    monkeypatch.setattr("model.data.suite.build_suite", suite)
    result = dmsr(tmp_path, "--suite", "--weights", tiny_weights, "--json", tmp_path / "suite.json")
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "suite.json").read_text())
    assert list(table) == ["dry", "wet", "all"]
    assert [group["pictures"] for group in table.values()] == [2, 1, 3]
    assert table["dry"]["before"] == 42.0
    assert table["dry"]["worst_gain"] < 0
    assert f"{table['all']['worst_tile']:.2f}" in result.output


@pytest.mark.parametrize("words", [("--take", "1/2"), ("--enlarge", "2"), ("--scale", "0.5"), ("--strength", "0.5")])
def test_what_a_suite_has_no_use_for_is_refused(dmsr, tiny_weights, tmp_path, words):
    result = dmsr(tmp_path, "--suite", "--weights", tiny_weights, *words)
    assert result.exit_code == 2
    assert "--suite has pictures of its own" in result.output


@pytest.mark.parametrize("words", [(), ("--tiling", "reference")])
def test_a_suite_without_photos_is_told(dmsr, tiny_weights, tmp_path, words):
    result = dmsr(tmp_path, "--suite", "--weights", tiny_weights, *words)
    assert result.exit_code == 2
    assert "Kodak24" in result.output


def test_enlarged_pairs_make_a_table(dmsr, pairs, tiny_weights, tmp_path):
    result = dmsr(pairs, "--weights", tiny_weights, "--enlarge", "1,2", "--json", tmp_path / "table.json")
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [row["factor"] for row in rows] == [1, 2]
    assert "×2" in result.output


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--scale", "2"], "--scale 2"),
        (["--scale", "half"], "--scale half"),
        (["--strength", "9"], "--strength 9"),
        (["--scale", "0.5", "--tiling", "reference"], "--tiling reference"),
        (["--enlarge", "0.5"], "--enlarge 0.5"),
        (["--enlarge", "big"], "--enlarge big"),
    ],
)
def test_options_that_cannot_be_are_named(dmsr, pairs, tiny_weights, words, named):
    result = dmsr(pairs, "--weights", tiny_weights, *words)
    assert result.exit_code == 2
    assert named in result.output
