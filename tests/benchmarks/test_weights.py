import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.weights import figures, rounded
from model.checkpoints.checkpoint import CheckpointInfo, read_info, save_checkpoint
from model.data.datasets import Pair
from model.evaluation.protocol import evaluate
from model.network.config import DMSRConfig
from model.network.network import DMSR


def run(folder, config, seed, step):
    """Write what a training would leave: random weights that know their step."""
    torch.manual_seed(seed)
    path = folder / f"{seed}.safetensors"
    save_checkpoint(path, DMSR(config).state_dict(), CheckpointInfo(config, "derain", 64, 16, training={"step": step}))
    return path


def test_one_file_is_rounded_to_half_its_size(tiny_weights, tmp_path):
    small = rounded([tiny_weights], tmp_path / "small.safetensors")
    exact, halved = load_file(tiny_weights), load_file(small)
    assert all(torch.equal(halved[key].half(), value.half()) for key, value in exact.items())
    assert small.stat().st_size < 0.7 * tiny_weights.stat().st_size


def test_of_two_runs_the_mean_is_written_and_the_last_one_speaks(tiny_config, tmp_path):
    first, last = run(tmp_path, tiny_config, seed=1, step=10), run(tmp_path, tiny_config, seed=2, step=20)
    mean = rounded([first, last], tmp_path / "mean.safetensors")
    one, two, both = load_file(first), load_file(last), load_file(mean)
    key = "conv_first.weight"
    assert not torch.equal(one[key], two[key])
    assert torch.equal(both[key].half(), ((one[key].double() + two[key].double()) / 2).half())
    assert read_info(mean).training["step"] == 20


def test_networks_of_other_sizes_have_no_mean(tiny_config, tmp_path):
    first, last = run(tmp_path, tiny_config, seed=1, step=1), run(tmp_path, DMSRConfig(8, 1), seed=2, step=1)
    with pytest.raises(RuntimeError, match="equal size"):
        rounded([first, last], tmp_path / "mean.safetensors")


def grey(level, error):
    """Return a grey pair whose input is `error` too bright."""
    clean = np.full((20, 20, 3), level, np.uint8)
    return Pair(f"{level}", clean + np.uint8(error), clean)


def test_beside_the_means_stands_the_picture_that_gained_least():
    scored = evaluate(lambda picture: picture - np.uint8(8), [grey(100, 10), grey(50, 12), grey(150, 10)])
    found, least = figures(scored), scored.images["50"]
    assert found["worse"] == 0
    assert found["least_gain"] == round(least.psnr_y - least.input_psnr_y, 2)
    assert found["psnr_y"] - found["input_psnr_y"] > found["least_gain"] + 1
    assert "least_psnr_y" not in found


def test_of_clear_pictures_the_one_that_has_least_left():
    """All that is asked of them is that they stay; nothing can be gained."""
    scored = evaluate(lambda picture: picture + picture // np.uint8(20), [grey(40, 0), grey(200, 0), grey(60, 0)])
    found = figures(scored)
    assert found["least_psnr_y"] == round(scored.images["200"].psnr_y, 2)
    assert found["psnr_y"] > found["least_psnr_y"] + 3
    assert not {"least_gain", "worse", "input_psnr_y"} & found.keys()
