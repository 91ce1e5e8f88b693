import numpy as np
import pytest
import torch

from model.data.haze import Haze, add_haze
from model.data.rain import Rain, RainLayer, add_rain
from model.data.scenes import draw_scenes
from model.inference.plausibility import plausible


@pytest.fixture(scope="module")
def scenes():
    """Drawn facades, grilles, letters and the like, and a plain sky."""
    drawn = [picture[:144, :144] for picture in draw_scenes(13, seed=3)]
    y, x = np.mgrid[:144, :144]
    sky = np.stack([110 + 0.3 * y, 140 + 0.25 * y + 0.05 * x, 190 + 0.1 * y], -1).astype(np.uint8)
    return [*drawn, sky]


def tensor(pictures):
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def test_a_perfect_result_is_plausible_whatever_was_taken_away(scenes):
    """Light rain, rain that hides nearly everything, haze thin and dense."""
    rng = np.random.default_rng(0)
    light = Rain((RainLayer(0.1, 20, 1.5, 10, 0.6),), veil=0.0, screen=False)
    dense = Rain((RainLayer(0.5, 50, 3.0, 20, 0.8), RainLayer(0.4, 30, 2.0, 18, 0.7)), veil=0.2, screen=False)
    for rain in (light, dense):
        assert plausible(tensor([add_rain(scene, rain, rng) for scene in scenes]), tensor(scenes)).all()
    for density in (0.5, 3.0):
        haze = Haze((0.8, 0.8, 0.8), density=density, horizon=0.5, relief=0.2)
        assert plausible(tensor([add_haze(scene, haze, rng) for scene in scenes]), tensor(scenes)).all()


def test_a_picture_left_alone_is_plausible(scenes):
    assert plausible(tensor(scenes), tensor(scenes)).all()


@pytest.mark.parametrize("spread", [0.15, 0.3, 1.0])
def test_noise_is_not(scenes, spread):
    noise = torch.rand((len(scenes), 3, 144, 144), generator=torch.Generator().manual_seed(0))
    assert not plausible(tensor(scenes), (0.5 + spread * (noise - 0.5) * 2).clamp(0, 1)).any()


def test_each_tile_is_judged_alone(scenes):
    after = tensor(scenes[:3]).clone()
    after[1] = torch.rand((3, 144, 144), generator=torch.Generator().manual_seed(0))
    assert plausible(tensor(scenes[:3]), after).tolist() == [True, False, True]
