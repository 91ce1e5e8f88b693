"""scikit-image, with the options that make it compute what MATLAB's scripts do, is the second opinion."""

import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from model.evaluation.metrics import luma, psnr, ssim


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (8, 10, 3)), np.ones((8, 8, 1)))
    noisy = smooth + rng.normal(0, 12, smooth.shape)
    return tuple(picture.clip(0, 255).astype(np.uint8) for picture in (smooth, noisy))


def test_luma_runs_from_16_to_235():
    corners = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert luma(corners).tolist() == [[16, 235]]


def test_luma_agrees_with_scikit_image_but_for_halves(pictures):
    """rgb2ycbcr on uint8 rounds; scikit-image leaves the fraction."""
    exact = rgb2ycbcr(pictures[1])[..., 0]
    assert np.abs(luma(pictures[1]) - exact).max() <= 0.5 + 1e-3


def test_psnr_agrees_with_scikit_image(pictures):
    planes = [luma(picture) for picture in pictures]
    assert psnr(*planes) == pytest.approx(peak_signal_noise_ratio(*planes, data_range=255), abs=1e-9)
    assert psnr(*pictures) == pytest.approx(peak_signal_noise_ratio(*pictures, data_range=255), abs=1e-9)


def test_equal_pictures_have_infinite_psnr_and_ssim_one(pictures):
    plane = luma(pictures[0])
    assert psnr(plane, plane) == float("inf")
    assert ssim(plane, plane) == pytest.approx(1)


def test_ssim_agrees_with_scikit_image_away_from_the_borders(pictures):
    """scikit-image pads the borders; its map without the outer 5 pixels is MATLAB's "valid"."""
    planes = [luma(picture) for picture in pictures]
    _, similarity = structural_similarity(
        *planes, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert ssim(*planes) == pytest.approx(similarity[5:-5, 5:-5].mean(), abs=1e-9)


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(ValueError, match="at least 11"):
        ssim(np.zeros((10, 50), np.uint8), np.zeros((10, 50), np.uint8))
