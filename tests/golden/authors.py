"""Weights and images by formula, in the authors' layout, as they were fed to the released network."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent
SALT = "dmsr-a/"


def _random(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32((SALT + name).encode()))


def tensor(key: str, shape: list[int]) -> torch.Tensor:
    """Draw one tensor of the authors' state dict from the hash of its name."""
    random = _random(key)
    if key.endswith("num_batches_tracked"):
        values = np.zeros(shape)
    elif key.endswith("running_mean"):
        values = 0.1 * random.standard_normal(shape)
    elif key.endswith("running_var"):
        values = 1 + 0.2 * np.abs(random.standard_normal(shape))
    elif len(shape) >= 2:
        values = 0.6 * random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    elif key.endswith("weight"):
        values = 1 + 0.1 * random.standard_normal(shape)
    else:
        values = 0.05 * random.standard_normal(shape)
    return torch.from_numpy(np.asarray(values, np.float32))


def state_dict() -> dict[str, torch.Tensor]:
    """Draw the whole state dict at width 48, depth 2."""
    keys = json.loads((FOLDER / "authors_keys_depth2.json").read_text())
    return {key: tensor(key, shape) for key, shape in keys.items()}


def image(height: int, width: int) -> np.ndarray:
    """Draw an image, uint8 (H, W, 3)."""
    values = _random(f"{height}x{width}image").random_sample((height, width, 3)) * 255
    return np.round(values).astype(np.uint8)


def outputs() -> dict[str, np.ndarray]:
    """Read what the release gave: `net_HxW_scale{0,1,2}` float32 (3, h, w), `windows_150x203` uint8 (H, W, 3)."""
    with np.load(FOLDER / "authors_outputs.npz") as file:
        return dict(file)
