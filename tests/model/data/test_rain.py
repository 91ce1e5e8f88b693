import time

import numpy as np
import pytest

from model.data.rain import Rain, RainLayer, add_rain, sample_downpour, sample_rain, streaks


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


def test_a_flat_streak_has_one_grey_and_the_size_asked_for():
    """A fading one of the same size has hardly a pixel that is nearly its brightest."""
    flat, fading = (
        streaks(128, 128, RainLayer(0.0075, 40, 3, 0, 0.5, flat), np.random.default_rng(1)) for flat in (True, False)
    )
    brightest = [(drawn > 0.95 * drawn.max()).sum() for drawn in (flat, fading)]
    assert brightest[0] == pytest.approx(40 * 3, abs=4)
    assert brightest[1] < brightest[0] / 2


def test_a_downpour_adds_and_covers_what_heavy_rain_does():
    """Of Heavy32, added to its trained half: means 7 to 70, and 11 to 83% of the pixels by more than 20."""
    black = np.zeros((160, 160, 3), np.uint8)
    drawn = [add_rain(black, sample_downpour(rng(seed)), rng(seed)) for seed in range(60)]
    added = np.sort([picture.mean() for picture in drawn])
    covered = np.sort([(picture > 20).mean() for picture in drawn])
    assert added[3] < 20
    assert 25 < added[30] < 60
    assert 70 < added[-3] < 150
    assert covered[3] < 0.35 < covered[30] < 0.8 < covered[-3]


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
