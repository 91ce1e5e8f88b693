"""The measure of speed is the network itself."""

import numpy as np
import torch

from benchmarks import networks
from benchmarks.plain import PlainRunner, PlainSPGA, plain_network, plain_process
from model.network.config import DMSRConfig
from model.network.network import DMSR
from model.network.spatial import SPGA
from tests.pictures import drawn


def network():
    torch.manual_seed(3)
    return DMSR(DMSRConfig(8, 2)).eval()


def test_the_plain_network_is_the_network():
    """All three scales within 1e-5, though the attention is one grouped convolution instead of two."""
    ours = network()
    x = torch.from_numpy(np.stack([drawn(64, 96, seed) for seed in range(2)])).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        for one, other in zip(ours(x), plain_network(ours)(x), strict=True):
            assert (one - other).abs().max() <= 1e-5


def test_every_attention_of_it_is_the_release_s():
    plain = plain_network(network())
    attentions = [module for module in plain.modules() if isinstance(module, SPGA)]
    assert attentions
    assert all(isinstance(module, PlainSPGA) for module in attentions)


def test_making_it_leaves_the_network_alone():
    ours = network()
    plain = plain_network(ours)
    assert not any(isinstance(module, PlainSPGA) for module in ours.modules())
    mine = {parameter.data_ptr() for parameter in ours.parameters()}
    assert mine.isdisjoint(parameter.data_ptr() for parameter in plain.parameters())


def test_it_runs_tiles_as_the_runner_does():
    from model.checkpoints.checkpoint import CheckpointInfo
    from model.inference.runner import TileRunner

    ours = network()
    plain = PlainRunner(ours)
    runner = TileRunner(ours, CheckpointInfo(ours.config, "derain", tile=64), device="cpu", precision="fp32")
    tiles = np.stack([drawn(64, 64, seed) for seed in range(3)])
    difference = np.abs(plain.run(tiles).tiles.astype(int) - runner.run(tiles).tiles)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-2


def test_its_own_process_answers_the_same(tiny_weights):
    tiles = np.stack([drawn(64, 64, seed) for seed in range(2)])
    here = PlainRunner(networks.build(str(tiny_weights))[0])
    with plain_process(str(tiny_weights), "cpu") as run:
        difference = np.abs(run(tiles).astype(int) - here.run(tiles).tiles)
    assert difference.max() <= 1
