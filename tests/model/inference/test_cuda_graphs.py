import numpy as np
import pytest
import torch

from model.checkpoints.checkpoint import CheckpointInfo
from model.inference.cuda_graphs import smallest_bucket
from model.inference.runner import TileRunner
from model.network.config import DMSRConfig
from model.network.network import DMSR


@pytest.mark.parametrize(("count", "bucket"), [(1, 1), (2, 4), (4, 4), (5, 16), (17, None)])
def test_the_smallest_bucket_that_holds_the_tiles_is_taken(count, bucket):
    assert smallest_bucket({1, 4, 16}, count) == bucket


def test_a_cpu_has_no_graphs(tiny_config):
    runner = TileRunner(DMSR(tiny_config), CheckpointInfo(tiny_config, "derain", tile=64), device="cpu")
    runner.warm_up()
    assert not runner.overlaps_host


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_graph_gives_what_the_network_gives(precision):
    """Every count up to the largest bucket, padded or not, equals the run without graphs to one step."""
    torch.manual_seed(0)
    config = DMSRConfig(16, 2)
    runner = TileRunner(DMSR(config), CheckpointInfo(config, "derain"), "cuda", precision, max_tiles=8)
    tiles = np.random.default_rng(0).integers(0, 256, (8, 128, 128, 3), np.uint8)
    plain = runner.run(tiles).tiles
    runner.warm_up()
    for count in range(1, runner.max_tiles + 1):
        difference = np.abs(runner.run(tiles[:count]).tiles.astype(int) - plain[:count])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01
