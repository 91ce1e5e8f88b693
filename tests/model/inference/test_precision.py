"""Which precision a device and weights end up with, and that what runs in float16 is what was trained."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from model.checkpoints.catalog import Catalog
from model.checkpoints.checkpoint import CheckpointInfo, load_checkpoint
from model.inference import cuda_graphs
from model.inference.precision import MEAN_ERROR, bearable, error, in_precision, ladder, patterned
from model.inference.reduced import InFloat32, MatrixFourierUnit, in_float16
from model.inference.restorer import Restorer
from model.inference.runner import TileRunner
from model.network.blocks import SCM
from model.network.config import DMSRConfig
from model.network.frequency import FDSM, FourierUnit
from model.network.network import DMSR
from tests.model.inference.fake_cuda import FakeCuda

SHIPPED = sorted((Path(__file__).parents[3] / "weights").glob("*.safetensors"))
PRODUCTS = ("convolution", "conv2d", "conv_transpose2d", "matmul", "linear", "mm", "addmm", "bmm")


class TensorCores(TorchDispatchMode):
    """Multiply 16-bit numbers as a GPU does: in float32, with one rounding at the end. It is also 50 times as fast."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if function.name().split(".")[0].removeprefix("aten::") not in PRODUCTS:
            return function(*arguments, **(options or {}))
        dtype = next(a.dtype for a in arguments if isinstance(a, torch.Tensor))
        wide = tree_map_only(torch.Tensor, lambda t: t.float(), arguments)
        return function(*wide, **(options or {})).to(dtype)


@pytest.fixture
def card(monkeypatch):
    cuda_graphs.card.cache_clear()
    yield lambda **properties: FakeCuda(monkeypatch, **properties)
    cuda_graphs.card.cache_clear()


def restored(network, tile):
    """Restore a patterned tile as the runner does, float (1, H, W, 3) in 8-bit steps."""
    x = torch.from_numpy(patterned(tile)).permute(0, 3, 1, 2).float().div(255)
    with torch.inference_mode():
        y = network(x.contiguous(memory_format=torch.channels_last))[0].float()
    return y.clamp(0, 1).mul(255).round()


def test_every_file_that_ships_is_in_the_manifest():
    assert {entry.file for entry in Catalog.load().entries} >= {path.name for path in SHIPPED}
    assert SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_weights_pass_their_gate_in_float16(path):
    """By a wide margin, so that another card's kernels pass as well; in bfloat16's autocast they do not."""
    network, info = load_checkpoint(path)
    exact = restored(network, info.tile)
    with TensorCores():
        half = restored(in_float16(network), info.tile)
        with torch.autocast("cpu", torch.bfloat16):
            brain = restored(network, info.tile)
    assert bearable(half, exact)
    assert error(half, exact)[0] < MEAN_ERROR / 4
    assert error(half, exact)[0] < error(brain, exact)[0] / 4  # some weights bear bfloat16, too


def test_what_sees_the_picture_stays_in_float32():
    half = in_float16(DMSR(DMSRConfig(8, 1)))
    islands = {name for name, module in half.named_modules() if isinstance(module, InFloat32)}
    assert islands == {"conv_first", "embed_half", "embed_quarter"}
    assert isinstance(half.embed_half.module, SCM)
    for name, parameter in half.named_parameters():
        inside = any(name.startswith(island) for island in islands)
        assert parameter.dtype == (torch.float32 if inside or "norm" in name else torch.float16), name


def test_all_of_it_is_where_the_network_is():
    """The device meta stands for any other; a tensor left behind on the processor would be refused."""
    half = in_float16(DMSR(DMSRConfig(8, 2)).to("meta"))
    assert {value.device.type for value in half.state_dict().values()} == {"meta"}
    with torch.no_grad():
        assert half(torch.empty(2, 3, 64, 80, device="meta"))[0].shape == (2, 3, 64, 80)


def test_the_error_of_a_batch_of_any_size_can_be_told():
    exact = torch.zeros(3 * 2**23 + 5, dtype=torch.uint8)
    assert error(exact + 2, exact) == (2, 2)


def test_making_it_leaves_the_network_alone():
    network = DMSR(DMSRConfig(8, 1))
    in_float16(network)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("shape", [(1, 8, 16, 24), (3, 8, 24, 16), (2, 4, 18, 18)])
def test_the_fourier_unit_as_batched_products_is_the_unit(shape):
    """With its norm folded, for several pictures of different brightness at once."""
    torch.manual_seed(0)
    unit = FourierUnit(shape[1]).eval()
    unit.norm.running_mean.normal_()
    unit.norm.running_var.uniform_(0.5, 2)
    unit.norm.weight.data.uniform_(0.5, 1.5)
    unit.norm.bias.data.normal_()
    x = torch.randn(shape) + torch.arange(shape[0])[:, None, None, None]
    with torch.inference_mode():
        waves, level = MatrixFourierUnit(unit)(x.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(waves + level[:, :, None, None], unit(x), atol=1e-5, rtol=1e-4)


def test_the_mixer_in_float16_is_the_mixer():
    """Each picture of a batch as if it were alone, and its brightness to a thousandth."""
    torch.manual_seed(0)
    module = FDSM(8).eval()
    module.norm.running_mean.normal_()
    module.norm.weight.data.uniform_(0.5, 1.5)
    x = 3 + torch.randn(2, 8, 32, 32) + torch.arange(2)[:, None, None, None]
    with torch.inference_mode(), TensorCores():
        wanted, ours = module(x), in_float16(module)(x.half()).float()
        alone = in_float16(module)(x[1:].half()).float()
    torch.testing.assert_close(ours, wanted, atol=2e-2, rtol=1e-2)
    torch.testing.assert_close(ours[1:], alone, atol=1e-2, rtol=1e-2)
    assert ((ours - wanted).mean((0, 2, 3)) / wanted.mean((0, 2, 3)).clamp(0.1)).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("capability", "rungs"),
    [
        ((9, 0), ("fp16", "tf32", "fp32")),
        ((8, 0), ("fp16", "tf32", "fp32")),
        ((7, 5), ("fp16", "fp32")),
        ((7, 0), ("fp32",)),
    ],
)
def test_the_ladder_is_what_the_card_multiplies_in_hardware(card, capability, rungs):
    card(capability=capability)
    assert ladder("auto", torch.device("cuda:0")) == rungs
    assert ladder("fp32", torch.device("cuda:0")) == ("fp32",)


def test_tf32_is_on_in_its_own_rung_alone(card):
    card()
    device = torch.device("cuda:0")
    for precision, allowed in (("fp16", False), ("tf32", True), ("fp32", False)):
        with in_precision(precision, device):
            assert torch.backends.cudnn.allow_tf32 is allowed
    with in_precision("fp32", torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32


class Coarse(nn.Module):
    """A network that is off by so many steps wherever it runs in less than float32."""

    def __init__(self, by):
        super().__init__()
        self.by, self.conv = by, nn.Conv2d(1, 1, 1)  # what becomes float16
        self.runs = []

    def forward(self, x):
        half = self.conv.weight.dtype == torch.float16
        rung = "fp16" if half else "tf32" if torch.backends.cudnn.allow_tf32 else "fp32"
        self.runs.append(rung)
        return x + self.by.get(rung, 0) / 255, None, None


def runner(by, tiny_config, precision="auto"):
    return TileRunner(Coarse(by), CheckpointInfo(tiny_config, "derain", tile=64), "cuda", precision)


@pytest.mark.parametrize(
    ("by", "precision"),
    [
        ({}, "fp16"),
        ({"fp16": 2}, "tf32"),
        ({"fp16": 2, "tf32": 2}, "fp32"),
        ({"fp16": float("nan")}, "tf32"),
        ({"tf32": 2}, "fp16"),
    ],
)
def test_weights_step_down_until_they_are_near_float32(card, tiny_config, caplog, by, precision):
    """Each step is counted and told in a warning."""
    card()
    subject = runner(by, tiny_config)
    with caplog.at_level(logging.WARNING):
        subject.warm_up()
    steps = ("fp16", "tf32", "fp32").index(precision)
    assert (subject.precision, subject.precision_demotions, len(caplog.records)) == (precision, steps, steps)
    batch = np.full((1, 64, 64, 3), 100, np.uint8)
    assert (subject.run(batch).tiles == 100).all()


def test_the_gate_is_asked_at_the_first_use_without_a_warm_up(card, tiny_config):
    """As in `dmsr restore`, in the library and in the trainer's validation."""
    card()
    restorer = Restorer(runner({"fp16": 2}, tiny_config))
    picture = np.full((64, 64, 3), 100, np.uint8)
    assert (restorer.restore(picture, scale=1.0) == 100).all()
    assert restorer.runner.precision == "tf32"


def test_the_gate_is_asked_once(card, tiny_config):
    card()
    subject = runner({}, tiny_config)
    batch = np.full((1, 64, 64, 3), 100, np.uint8)
    subject.run(batch)
    after_the_first = len(subject._fast.runs), len(subject._network.runs)
    subject.run(batch)
    assert (len(subject._fast.runs), len(subject._network.runs)) == (after_the_first[0] + 1, after_the_first[1])


def test_float32_asked_for_is_not_judged(card, tiny_config):
    card()
    subject = runner({"tf32": 2}, tiny_config, "fp32")
    subject.run(np.full((1, 64, 64, 3), 100, np.uint8))
    assert subject._network.runs == ["fp32"]
