import pytest
import torch

from model.network.config import DMSRConfig
from model.network.network import DMSR
from model.training.growth import begin_from


def network(width, depth, seed):
    torch.manual_seed(seed)
    built = DMSR(DMSRConfig(width, depth)).eval()
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return built


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_a_network_begins_as_the_weights_whatever_its_depth(depth):
    weights, deeper = network(8, 2, seed=0), network(8, depth, seed=1)
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        begin_from(deeper, weights)
        for one, other in zip(deeper(x), weights(x), strict=True):
            torch.testing.assert_close(one, other)


def test_every_new_block_can_learn():
    """Its last convolution is zero, yet gets a gradient; the other convolutions follow from the next step on."""
    deeper = network(8, 4, seed=1)
    begin_from(deeper, network(8, 2, seed=0))
    deeper(torch.rand(1, 3, 64, 64))[0].square().mean().backward()
    assert all(deeper.encoder_full[block].conv_out.weight.grad.abs().sum() > 0 for block in (1, 2))


@pytest.mark.parametrize(("width", "depth"), [(12, 2), (8, 1)])
def test_other_sizes_are_refused(width, depth):
    with pytest.raises(ValueError, match=f"begin a network of width {width} and depth {depth}"):
        begin_from(network(width, depth, seed=1), network(8, 2, seed=0))
