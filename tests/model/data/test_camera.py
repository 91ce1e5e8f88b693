import numpy as np
import pytest

from model.data.camera import Camera, sample_camera


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(height=80, width=96):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [120 + 90 * np.sin(x / 7 + channel) * np.cos(y / 9) for channel in range(3)]
    return np.stack(waves, axis=2).astype(np.uint8)


def test_a_camera_that_does_nothing_changes_nothing():
    assert np.array_equal(Camera().take((picture(),), rng())[0], picture())


@pytest.mark.parametrize("seed", range(12))
def test_equal_places_stay_equal(seed):
    """A pair that differs on the left only is the same on the right, noise, sharpening and JPEG blocks included."""
    clean = picture(128, 256)
    wet = clean.copy()
    wet[20:100, 10:30] = 255
    first, second = sample_camera(rng(seed)).take((wet, clean), rng(seed))
    assert np.array_equal(first[:, 96:], second[:, 96:])
    assert not np.array_equal(first[:, :30], second[:, :30])


def test_the_same_seed_gives_the_same_picture():
    one, two, other = (sample_camera(rng(seed)).take((picture(),), rng(seed))[0] for seed in (3, 3, 4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("grain", [0.0, 0.7])
def test_noise_has_the_strength_asked_for_and_grows_with_the_light(grain):
    deviations = []
    for level in (26, 128, 230):
        grey = np.full((256, 256, 3), level, np.uint8)
        deviations.append(Camera(noise=0.03, grain=grain).take((grey,), rng())[0].std() / 255)
    assert deviations[1] == pytest.approx(0.03, rel=0.05)
    assert deviations[0] < deviations[1] < deviations[2]


def test_blur_softens_sharpening_undoes_it_and_detail_is_lost_by_resizing():
    def contrast(camera):
        noise = rng().integers(60, 196, (96, 96, 3), np.uint8)
        return camera.take((noise,), rng())[0].std()

    assert contrast(Camera(blur=1.0)) < contrast(Camera(blur=1.0, sharpening=1.0)) < contrast(Camera())
    assert contrast(Camera(detail=0.5)) < 0.8 * contrast(Camera())


def test_jpeg_is_coarser_at_lower_quality():
    losses = [np.abs(Camera(quality=q).take((picture(),), rng())[0].astype(int) - picture()).mean() for q in (60, 95)]
    assert losses[0] > losses[1] > 0
