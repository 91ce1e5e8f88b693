import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.training.losses import FREQUENCY_WEIGHT, decibel_loss, dual_domain_loss, spectral_l1


def images(seed, side=16):
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_spectral_l1_is_its_formula():
    """Mean of |Re| and |Im| of the difference of the unnormalised transforms, written out in numpy."""
    output, target = images(0), images(1)
    difference = np.fft.fft2(output.numpy().astype(float)) - np.fft.fft2(target.numpy().astype(float))
    expected = (np.abs(difference.real).mean() + np.abs(difference.imag).mean()) / 2
    assert np.isclose(spectral_l1(output, target).item(), expected, rtol=1e-5)


def test_the_loss_sums_three_scales_of_both_domains():
    target = images(0)
    outputs = [images(1), images(2, 8), images(3, 4)]
    expected = 0.0
    for output in outputs:
        scaled = F.interpolate(target, size=output.shape[-2:], mode="bilinear", align_corners=False)
        expected += (output - scaled).abs().mean() + FREQUENCY_WEIGHT * spectral_l1(output, scaled)
    torch.testing.assert_close(dual_domain_loss(outputs, target), expected)


def test_a_perfect_output_costs_nothing_and_any_other_has_a_gradient():
    target = images(0)
    scales = [target, *(F.interpolate(target, scale_factor=s, mode="bilinear") for s in (0.5, 0.25))]
    assert dual_domain_loss(scales, target).item() < 1e-6
    wrong = [(scale + 0.1).requires_grad_() for scale in scales]
    dual_domain_loss(wrong, target).backward()
    assert all(output.grad.abs().max() > 0 for output in wrong)


def test_bfloat16_outputs_are_compared_in_float32():
    target = images(0)
    outputs = [images(1).bfloat16(), images(2, 8).bfloat16(), images(3, 4).bfloat16()]
    assert dual_domain_loss(outputs, target).dtype == torch.float32


@pytest.mark.parametrize("floor", [3e-4, 1e-5])
def test_the_decibel_loss_is_psnr_at_three_scales(floor):
    """10 / ln 10 of it is PSNR, of each picture and each scale, with the floor's error added."""
    target = images(0)
    outputs = [images(1), images(2, 8), images(3, 4)]
    expected = 0.0
    for output in outputs:
        scaled = F.interpolate(target, size=output.shape[-2:], mode="bilinear", align_corners=False)
        errors = (output - scaled).square().flatten(1).mean(1).numpy() + floor
        expected -= np.mean(10 * np.log10(1 / errors))
    assert np.isclose(10 / np.log(10) * decibel_loss(outputs, target, floor).item(), expected, rtol=1e-5)


def test_in_decibels_a_picture_nearly_right_pulls_as_hard_as_one_far_off():
    """By as much relative to its error; in L1 both pull alike whatever their error, and in squares the worst wins."""
    target = torch.full((2, 3, 16, 16), 0.5)
    error = torch.tensor([0.1, 0.4]).view(2, 1, 1, 1).expand_as(target).clone().requires_grad_()
    decibel_loss([target + error], target, 3e-4).backward()
    near, far = (error.grad * error.detach()).sum(dim=(1, 2, 3))
    assert torch.isclose(near, far, rtol=0.05)
