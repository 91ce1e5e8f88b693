import time

import numpy as np
import pytest

from model.data.camera_rain import CameraRain, Drops, add_camera_rain, sample_camera_rain
from model.data.fields import WHOLE

STREAKS = Drops(distance=0.0, coverage=0.15, length=40, radius=1.5, angle=0, opacity=0.6)


def rng(seed=0):
    return np.random.default_rng(seed)


def grey(level, height=96, width=128):
    return np.full((height, width, 3), level, np.uint8)


def rain(*layers, light=0.8, flicker=0.0, horizon=0.0, veil=0.0):
    return CameraRain(layers, (light,) * 3, flicker, horizon, veil)


def test_the_same_seed_gives_the_same_picture():
    one, two, other = (add_camera_rain(grey(90), sample_camera_rain(rng(s)), rng(s)) for s in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert one.shape == (96, 128, 3)
    assert one.dtype == np.uint8


def test_no_drops_and_no_veil_leave_the_picture_as_it_is():
    picture = rng().integers(0, 256, (64, 64, 3), np.uint8)
    assert np.array_equal(add_camera_rain(picture, rain(), rng()), picture)


def test_rain_is_bright_before_dark_and_hardly_seen_before_the_sky():
    changes = [np.abs(add_camera_rain(grey(v), rain(STREAKS), rng()).astype(int) - v).mean() for v in (20, 120, 204)]
    assert changes[0] > 1.5 * changes[1] > 3
    assert changes[2] < 0.5


@pytest.mark.parametrize("scale", [1.5, 6.0, 24.0])
def test_drops_are_as_wide_as_asked_at_any_scale(scale):
    """The drawn width at half the height of a profile follows the scale, so that full camera pictures can be drawn."""
    layer = Drops(0.0, coverage=0.02, length=30 * scale, radius=scale / 2, angle=0, opacity=1.0, tumble=0.0)
    side = int(60 * scale)
    widths = []
    for seed in range(12):
        drawn = add_camera_rain(grey(0, side, side), rain(layer, light=1.0), rng(seed))[..., 0].astype(float)
        if drawn.max() < 60:
            continue
        row, column = np.unravel_index(drawn.argmax(), drawn.shape)
        profile = drawn[row] > drawn.max() / 2
        left = column - np.argmin(profile[column::-1]) if not profile[: column + 1].all() else 0
        right = column + np.argmin(profile[column:]) if not profile[column:].all() else side
        widths.append(right - left - 1)
    assert len(widths) >= 3
    assert np.median(widths) == pytest.approx(scale, rel=0.45, abs=1)


def test_discs_are_round_and_streaks_are_long():
    """The structure tensor of upright streaks is nearly all across; that of discs has no direction."""

    def direction(layer):
        drawn = add_camera_rain(grey(0, 256, 256), rain(layer, light=1.0), rng())[..., 0].astype(float)
        dy, dx = np.gradient(drawn)
        return (dx**2).mean() / (dy**2).mean()

    assert direction(STREAKS) > 10
    disc = Drops(0.0, coverage=0.1, length=0, radius=5, angle=0, opacity=0.6, softness=0.3, tumble=10, rim=0.4)
    assert direction(disc) == pytest.approx(1, rel=0.35)


def test_twice_the_coverage_is_nearly_twice_the_rain():
    def wet(coverage):
        layer = Drops(0.0, coverage=coverage, length=20, radius=1.5, angle=0, opacity=0.3)
        return np.mean([add_camera_rain(grey(0), rain(layer, light=1.0), rng(s)).mean() for s in range(12)])

    assert wet(0.08) / wet(0.04) == pytest.approx(2, rel=0.2)


def test_what_is_near_hides_the_rain_behind_it():
    """Depth follows the height here: far above, near below."""
    far = Drops(distance=0.5, coverage=0.3, length=6, radius=1.0, angle=0, opacity=0.8)
    changed = add_camera_rain(grey(20, 200, 100), rain(far, horizon=1.0), rng()).astype(int) - 20
    assert changed[:90].mean() > 5
    assert changed[112:].max() == 0


def test_the_veil_grows_with_depth():
    veiled = add_camera_rain(grey(20, 100, 60), rain(horizon=1.0, veil=1.0), rng())[..., 0].astype(int)
    assert (np.diff(veiled.mean(axis=1)) <= 0).all()
    assert veiled[0, 0] == pytest.approx(20 + (204 - 20) * (1 - np.exp(-1)), abs=1.5)
    assert veiled[-1, 0] == 20


def test_splashes_lie_on_the_ground():
    splash = Drops(0.0, 0.2, length=4, radius=2, angle=90, opacity=0.8, tumble=20, ground=True)
    changed = add_camera_rain(grey(20, 240, 100), rain(splash), rng()).astype(int) - 20
    assert changed[:150].max() == 0
    assert changed[200:].mean() > changed[160:200].mean() > 0


def test_a_translucent_drop_shows_what_is_behind_it_blurred():
    stripes = np.repeat(np.tile(np.uint8([0, 255]), 64)[None, :, None], 96, axis=0).repeat(3, axis=2)
    disc = Drops(0.0, coverage=3.0, length=0, radius=6, angle=0, opacity=1.0, softness=0.3, lens=1.0)
    seen = add_camera_rain(stripes, rain(disc), rng()).astype(float)
    assert seen.std() < 0.5 * stripes.std()
    assert seen.mean() == pytest.approx(127.5, abs=6)


def test_a_crop_sees_the_depth_of_its_place():
    """The veil over a crop is that over the same place of the whole scene."""
    weather = rain(horizon=0.4, veil=1.2)
    whole = add_camera_rain(grey(20, 200, 200), weather, rng(2))
    part = add_camera_rain(grey(20, 51, 101), weather, rng(2), (0.5, 0.75, 0.25, 0.75))
    assert np.abs(whole[100:150, 50:150].astype(int) - part[:50, :100]).max() <= 2
    assert not np.array_equal(whole[:50, :100], part[:50, :100])
    assert WHOLE == (0, 1, 0, 1)


def test_the_scale_of_a_sample_is_that_of_its_drops():
    for scale in (1.5, 12.0, 30.0):
        radii = [layer.radius for seed in range(40) for layer in sample_camera_rain(rng(seed), scale).layers]
        assert np.median(radii) * 2 == pytest.approx(scale, rel=0.5)


def test_it_keeps_up_with_training():
    """Some milliseconds a crop, where a training step takes a second; generous, for busy machines."""
    began = time.perf_counter()
    for seed in range(20):
        add_camera_rain(grey(90, 64, 64), sample_camera_rain(rng(seed)), rng(seed))
    assert (time.perf_counter() - began) / 20 < 0.15
