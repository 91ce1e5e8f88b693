"""Equality with the authors' release, through the converter."""

import numpy as np
import pytest
import torch

from model.checkpoints.checkpoint import CheckpointInfo
from model.checkpoints.conversion import from_authors
from model.inference.restorer import Restorer
from model.inference.runner import TileRunner
from model.network.network import DMSR
from tests.golden import authors


@pytest.fixture(scope="module")
def network():
    state_dict, config = from_authors(authors.state_dict())
    network = DMSR(config).eval()
    network.load_state_dict(state_dict)
    return network


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96)])
def test_all_three_scales_equal_the_release(network, height, width):
    """Every scale is within 1e-4 of the released network, whose activations reach several hundred times that."""
    x = torch.from_numpy(authors.image(height, width)).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        ours = network(x)
    golden = authors.outputs()
    for scale, output in enumerate(ours):
        theirs = golden[f"net_{height}x{width}_scale{scale}"]
        assert output.shape[1:] == theirs.shape
        assert np.abs(output[0].numpy() - theirs).max() <= 1e-4


def test_reference_tiling_equals_the_released_test_pipeline(network):
    """Windows of 128 pixels, the last pushed inward, give the release's picture but for rare rounding."""
    runner = TileRunner(network, CheckpointInfo(network.config, "derain"), device="cpu", precision="fp32")
    restored = Restorer(runner, tiling="reference").restore(authors.image(150, 203))
    difference = np.abs(restored.astype(int) - authors.outputs()["windows_150x203"])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_the_golden_picture_is_no_trivial_one(network):
    """The formula's network changes its input by much more than the tolerance, so equality means something."""
    assert np.abs(authors.outputs()["windows_150x203"].astype(int) - authors.image(150, 203)).mean() > 5
