"""PSNR and SSIM as the papers' MATLAB scripts compute them.

Knows nothing of files or networks: uint8 arrays in, floats out. Another YCbCr formula moves PSNR by about 1.2 dB, so
every figure of this project uses this one.
"""

import numpy as np

Y_WEIGHTS = np.array([65.481, 128.553, 24.966])
"""rgb2ycbcr's luma (BT.601, studio range): Y = 16 + weights · RGB / 255, from 16 to 235."""

SSIM_SIDE, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def luma(rgb: np.ndarray) -> np.ndarray:
    """Convert RGB uint8 (H, W, 3) to Y uint8 (H, W), as MATLAB's rgb2ycbcr on uint8 does."""
    y: np.ndarray = np.floor(16 + rgb.astype(np.float64) @ Y_WEIGHTS / 255 + 0.5).astype(np.uint8)
    return y


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two uint8 arrays against 255, in dB; infinity for equal ones."""
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean structural similarity (Wang et al. 2004) of two uint8 planes (H, W).

    11×11 Gaussian window of σ 1.5, K = (0.01, 0.03), L = 255, only where the window lies wholly inside. Pictures under
    11 pixels are ValueError.
    """
    if min(first.shape) < SSIM_SIDE:
        raise ValueError(f"SSIM needs sides of at least {SSIM_SIDE} pixels, not {first.shape}")
    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a, variance_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + SSIM_C1) * (2 * covariance + SSIM_C2)
    return float(np.mean(similarity / ((mean_a**2 + mean_b**2 + SSIM_C1) * (variance_a + variance_b + SSIM_C2))))


def _blur(plane: np.ndarray) -> np.ndarray:
    offsets = np.arange(SSIM_SIDE) - SSIM_SIDE // 2
    window = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window /= window.sum()
    height, width = plane.shape[0] - SSIM_SIDE + 1, plane.shape[1] - SSIM_SIDE + 1
    rows = sum(weight * plane[i : i + height] for i, weight in enumerate(window))
    blurred: np.ndarray = sum(weight * rows[:, i : i + width] for i, weight in enumerate(window))
    return blurred
