import time

import numpy as np
import pytest

from model.data.degradation import (
    Haze,
    Rain,
    RainLayer,
    add_haze,
    add_rain,
    draw_markings,
    sample_haze,
    sample_rain,
    smooth_field,
    streaks,
)


@pytest.fixture
def grey():
    return np.full((96, 80, 3), 90, np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "degrade", [lambda p, g: add_rain(p, sample_rain(g), g), lambda p, g: add_haze(p, sample_haze(g), g), draw_markings]
)
def test_the_same_seed_gives_the_same_picture(grey, degrade):
    pictures = [degrade(grey, rng(seed)) for seed in (5, 5, 6)]
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


def test_haze_is_koschmieders_law():
    """With depth the height in the picture alone, the bottom row keeps its colour best and the top comes near A."""
    picture = np.zeros((100, 60, 3), np.uint8)
    hazy = add_haze(picture, Haze((0.9, 0.8, 0.7), density=2.0, horizon=1.0, relief=0.0), rng())
    through = np.exp(-2.0 * 0.5)
    expected = np.array([0.9, 0.8, 0.7]) * (1 - through) * 255
    assert np.abs(hazy[49:51].mean(axis=(0, 1)) - expected).max() < 1.5
    assert (np.diff(hazy[..., 0].astype(int), axis=0) <= 0).all()


def test_a_crop_sees_its_part_of_the_scenes_haze():
    whole = smooth_field(rng(3), (0, 1), (0, 1), 101, 101)
    part = smooth_field(rng(3), (0.2, 0.6), (0.5, 0.9), 41, 41)
    assert np.abs(whole[20:61, 50:91] - part).max() < 1e-3


def test_synthesis_keeps_up_with_training():
    """Some milliseconds a crop, where a training step takes a second; generous, for busy machines."""
    picture = rng().integers(0, 256, (128, 128, 3), np.uint8)
    began = time.perf_counter()
    for seed in range(20):
        add_rain(picture, sample_rain(rng(seed)), rng(seed))
    assert (time.perf_counter() - began) / 20 < 0.1
