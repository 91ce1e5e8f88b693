import pytest
import torch

from model.inference.onednn import PackedConvolution, can_fuse, rearranged, trial
from model.inference.reduced import fourier_matrices
from model.network.config import DMSRConfig
from model.network.frequency import FDSM
from model.network.network import DMSR

pytestmark = pytest.mark.skipif(not can_fuse(), reason="PyTorch was built without oneDNN")
in_bfloat16 = pytest.mark.skipif(not can_fuse(torch.bfloat16), reason="oneDNN's bfloat16 needs AVX-512")


def network(width=16, depth=2):
    """Random weights, and batch norms that do something."""
    torch.manual_seed(0)
    built = DMSR(DMSRConfig(width, depth)).eval()
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_()
    return built


def pictures(height=64, width=80):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    smooth = 0.5 + 0.3 * torch.sin(x / 9) * torch.cos(y / 7)
    return torch.stack([torch.stack([smooth * k, smooth, 1 - smooth]) for k in (1, 0.6)])


@pytest.mark.parametrize("size", [(16, 2), (48, 1)])
def test_in_float32_it_is_the_same_function(size):
    """At every scale, to rounding, of pictures that are not square and of another size after that."""
    ours = network(*size)
    faster = rearranged(ours, torch.float32)
    with torch.inference_mode():
        for x in (pictures(), pictures(96, 64)[:1]):
            for one, other in zip(faster(x), ours(x), strict=True):
                torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@in_bfloat16
def test_in_bfloat16_it_differs_as_much_as_autocast_does():
    ours, x = network(), pictures()
    with torch.inference_mode():
        wanted = ours(x)[0]
        with torch.autocast("cpu", torch.bfloat16):
            usual = (ours(x)[0].float() - wanted).abs().mean()
        error = (rearranged(ours, torch.bfloat16)(x)[0].float() - wanted).abs().mean()
    assert 0 < error < 1.5 * usual


def test_the_network_it_is_made_from_stays_as_it_was():
    ours = network()
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    rearranged(ours, torch.float32)
    after = ours.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 10), (7, 5)])
def test_the_matrices_are_the_transform(height, width):
    """There, against torch's own, and back, from a spectrum that no real picture has."""
    half = width // 2 + 1
    down, across, up, back = fourier_matrices(height, width, torch.float64)
    x = torch.randn(height, width, dtype=torch.float64)
    y = (down @ x).view(height, 2, width)
    spectrum = torch.view_as_complex((across @ y.reshape(height, -1, 1)).view(height, half, 2).contiguous())
    torch.testing.assert_close(spectrum, torch.fft.rfft2(x, norm="ortho"))
    spectrum = torch.randn(height, half, dtype=torch.complex128)
    y = (up @ torch.view_as_real(spectrum).permute(0, 2, 1).reshape(2 * height, half)).view(height, 2 * half, 1)
    torch.testing.assert_close((back @ y)[..., 0], torch.fft.irfft2(spectrum, s=(height, width), norm="ortho"))


@in_bfloat16
@pytest.mark.parametrize("side", [64, 80, 96])
def test_bfloat16_leaves_brightness_alone(side):
    """The mean is by far the largest number the Fourier branch sees, and an error of it is one of all pixels."""
    torch.manual_seed(side)
    module = FDSM(16).eval()
    module.norm.running_mean.normal_()
    x = (3 + 0.5 * torch.randn(1, 16, side, side)).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted, ours = module(x).double(), rearranged(module, torch.bfloat16)(x.bfloat16()).double()
    shift = (ours - wanted).mean((0, 2, 3)) / wanted.mean((0, 2, 3)).clamp(0.1)
    assert shift.abs().mean() < 6e-4


@pytest.fixture
def untried():
    """Let the operators be tried anew, before and after the test."""
    can_fuse.cache_clear()
    yield
    can_fuse.cache_clear()


def test_the_operators_are_those_of_the_plain_modules():
    assert 0 <= trial(torch.float32) < 1e-5


@pytest.mark.parametrize("wrong", [lambda y: y + 1e-3, lambda y: y * float("nan")])
def test_an_operator_that_is_wrong_is_found_before_it_is_used(untried, monkeypatch, caplog, wrong):
    right = PackedConvolution.forward
    monkeypatch.setattr(PackedConvolution, "forward", lambda self, x, plus=None: wrong(right(self, x, plus)))
    assert not can_fuse()
    assert f"wrong by {'nan' if 'nan' in caplog.text else '0.001'}" in caplog.text


@pytest.mark.parametrize("failure", [AttributeError("no such operator"), RuntimeError("another signature")])
def test_an_operator_that_is_missing_or_refuses_is_named_in_a_warning(untried, monkeypatch, caplog, failure):
    def gone(*_):
        raise failure

    monkeypatch.setattr("model.inference.onednn._convolutions", gone)
    assert not can_fuse()
    assert str(failure) in caplog.text


def test_the_trial_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    trial(torch.float32)
    assert torch.equal(torch.rand(4), wanted)
