import time

import numpy as np
import pytest

from model.data.rain import Rain, RainLayer, add_rain, sample_rain, streaks


@pytest.fixture
def grey():
    return np.full((96, 80, 3), 90, np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_same_seed_gives_the_same_picture(grey):
    pictures = [add_rain(grey, sample_rain(rng(seed)), rng(seed)) for seed in (5, 5, 6)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert pictures[0].shape == grey.shape
    assert pictures[0].dtype == np.uint8


def test_no_rain_leaves_the_picture_as_it_is(grey):
    assert np.array_equal(add_rain(grey, Rain((), veil=0.0, screen=False), rng()), grey)


@pytest.mark.parametrize("screen", [False, True])
def test_rain_without_a_veil_only_brightens(screen):
    picture = rng().integers(0, 256, (64, 64, 3), np.uint8)
    layer = RainLayer(coverage=0.3, length=20, width=2, angle=10, strength=0.8)
    rainy = add_rain(picture, Rain((layer,), veil=0.0, screen=screen), rng())
    assert (rainy >= picture).all()
    assert rainy.mean() > picture.mean() + 5


def test_twice_the_coverage_is_twice_the_light():
    means = [
        np.mean([streaks(128, 128, RainLayer(coverage, 20, 2, 0, 0.5), rng(seed)).mean() for seed in range(20)])
        for coverage in (0.1, 0.2)
    ]
    assert means[1] / means[0] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("angle", [-40, 0, 25])
def test_streaks_fall_at_the_angle_asked_for(angle):
    """The gradient of a streak points across it; the structure tensor tells its direction."""
    drawn = streaks(128, 128, RainLayer(0.5, 40, 2, angle, 1.0), rng())
    dy, dx = np.gradient(drawn)
    across = np.degrees(0.5 * np.arctan2(2 * (dx * dy).mean(), (dx * dx).mean() - (dy * dy).mean()))
    assert -across == pytest.approx(angle, abs=6)


def test_synthesis_keeps_up_with_training():
    """Some milliseconds a crop, where a training step takes a second; generous, for busy machines."""
    picture = rng().integers(0, 256, (128, 128, 3), np.uint8)
    began = time.perf_counter()
    for seed in range(20):
        add_rain(picture, sample_rain(rng(seed)), rng(seed))
    assert (time.perf_counter() - began) / 20 < 0.1
