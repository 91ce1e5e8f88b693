import copy

import pytest
import torch
from torch import nn

from model.network.config import DMSRConfig
from model.network.network import DMSR
from model.training.optimisers import Muon, Optimisers
from model.training.recipe import Optimiser


@pytest.fixture
def network():
    torch.manual_seed(0)
    return DMSR(DMSRConfig(width=8, depth=1)).to(memory_format=torch.channels_last)


def fill_gradients(network, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = torch.empty_like(parameter).copy_(gradient)  # laid out as autograd does


def values(network):
    return {name: value.detach().clone() for name, value in network.named_parameters()}


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_every_parameter_moves(network, kind):
    before = values(network)
    optimisers = Optimisers(network, Optimiser(kind=kind))
    fill_gradients(network, 1)
    optimisers.step(1e-3)
    assert all(not torch.equal(value, before[name]) for name, value in values(network).items())

    """The update's singular values are nearly equal, and as large as the rate times 0.2·√max(rows, columns)."""
    weight = network.encoder_full[0].conv_in.weight
    before = weight.detach().clone()
    optimisers = Optimisers(network, Optimiser(kind="muon"))
    fill_gradients(network, 1)
    optimisers.step(1e-2)
    moved = (before - weight.detach()).permute(0, 2, 3, 1).flatten(1)
    singular = torch.linalg.svdvals(moved) / (1e-2 * 0.2 * max(moved.shape) ** 0.5)
    assert singular.min() > 0.6
    assert singular.max() < 1.3
    assert (moved * weight.grad.permute(0, 2, 3, 1).flatten(1)).sum() > 0


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (20, 20)])
def test_muon_is_torchs_but_for_its_rounding(shape):
    """torch.optim.Muon computes in bfloat16, whose mantissa has 8 bits."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (nn.Parameter(torch.zeros(shape)) for _ in range(2))
    kept = {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1}
    torchs = torch.optim.Muon([theirs], **kept, nesterov=True, ns_steps=5, adjust_lr_fn="match_rms_adamw")
    muon = Muon([ours], kept["momentum"], kept["weight_decay"])
    muon.param_groups[0]["lr"] = kept["lr"]
    for _ in range(4):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        muon.step()
        torchs.step()
    assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.998
    assert ours.norm().item() == pytest.approx(theirs.norm().item(), rel=0.02)
    assert torch.equal(muon.state[ours]["momentum_buffer"], torchs.state[theirs]["momentum_buffer"])


def test_muon_takes_dense_convolutions_and_adam_the_rest(network):
    optimisers = Optimisers(network, Optimiser(kind="muon"))
    fill_gradients(network, 1)
    optimisers.step(1e-3)
    owners = {name.split(".", 1)[1].rpartition(".")[0]: name.split(".")[0] for name in optimisers.state()}
    assert owners["encoder_full.0.conv_in.weight"] == "muon"
    assert owners["up_half.weight"] == "muon"
    assert owners["encoder_full.0.conv_in.bias"] == "adam"
    assert owners["encoder_full.0.depthwise.weight"] == "adam"
    assert owners["conv_first.weight"] == "adam"
    assert owners["out_full.weight"] == "adam"
    assert owners.keys() == dict(network.named_parameters()).keys()


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_the_layout_in_memory_changes_nothing(network, memory_format):
    twin = copy.deepcopy(network).to(memory_format=memory_format)
    for one in (network, twin):
        optimisers = Optimisers(one, Optimiser(kind="muon"))
        fill_gradients(one, 1)
        optimisers.step(1e-3)
    for name, value in values(network).items():
        torch.testing.assert_close(value, values(twin)[name], atol=2e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_the_state_is_all_that_the_next_steps_depend_on(network, kind):
    """Two steps, then two more by the same optimisers, and by new ones with their state: the same to the bit."""
    recipe = Optimiser(kind=kind, weight_decay=0.1)
    optimisers = Optimisers(network, recipe)
    for seed in (1, 2):
        fill_gradients(network, seed)
        optimisers.step(1e-3)
    twin = copy.deepcopy(network)
    resumed = Optimisers(twin, recipe)
    resumed.load_state(optimisers.state())
    for one, its in ((network, optimisers), (twin, resumed)):
        for seed in (3, 4):
            fill_gradients(one, seed)
            its.step(1e-3)
    for name, value in values(network).items():
        assert torch.equal(value, values(twin)[name]), name


def test_weight_decay_shrinks_dense_weights_alone(network):
    for kind in ("adam", "muon"):
        decayed, plain = copy.deepcopy(network), copy.deepcopy(network)
        for one, decay in ((decayed, 0.5), (plain, 0.0)):
            optimisers = Optimisers(one, Optimiser(kind=kind, weight_decay=decay))
            fill_gradients(one, 1)
            optimisers.step(1e-2)
        changed = {name for name, value in values(decayed).items() if not torch.equal(value, values(plain)[name])}
        assert "encoder_full.0.conv_in.weight" in changed, kind
        assert not {name for name in changed if "depthwise" in name or "norm" in name or name.endswith("bias")}, kind


def test_step_counters_are_loaded_onto_the_parameters_device():
    """A fused Adam on CUDA refuses a counter on the processor; the device meta stands for any other device."""
    plain = nn.Linear(4, 4)
    optimisers = Optimisers(plain, Optimiser())
    fill_gradients(plain, 1)
    optimisers.step(1e-3)
    elsewhere = nn.Linear(4, 4, device="meta")
    resumed = Optimisers(elsewhere, Optimiser())
    resumed.load_state(optimisers.state())
    state = resumed._adam.state[elsewhere.weight]
    assert {value.device.type for value in state.values()} == {"meta"}
