import numpy as np
import pytest

from model.data.haze import Haze, SceneHaze, add_haze, add_scene_haze, object_depths, sample_haze, sample_scene_haze


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("sample", "add"), [(sample_haze, add_haze), (sample_scene_haze, add_scene_haze)])
def test_the_same_seed_gives_the_same_picture(sample, add):
    grey = np.full((96, 80, 3), 90, np.uint8)
    pictures = [add(grey, sample(rng(seed)), rng(seed)) for seed in (5, 5, 6)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert pictures[0].shape == grey.shape
    assert pictures[0].dtype == np.uint8


def test_haze_is_koschmieders_law():
    """With depth the height in the picture alone, the bottom row keeps its colour best and the top comes near A."""
    picture = np.zeros((100, 60, 3), np.uint8)
    hazy = add_haze(picture, Haze((0.9, 0.8, 0.7), density=2.0, horizon=1.0, relief=0.0), rng())
    through = np.exp(-2.0 * 0.5)
    expected = np.array([0.9, 0.8, 0.7]) * (1 - through) * 255
    assert np.abs(hazy[49:51].mean(axis=(0, 1)) - expected).max() < 1.5
    assert (np.diff(hazy[..., 0].astype(int), axis=0) <= 0).all()


def two_objects():
    picture = np.full((60, 80, 3), 30, np.uint8)
    picture[:, 40:] = 200
    return picture


def test_objects_have_one_depth_and_differ_at_their_edge():
    jumps = []
    for seed in range(20):
        depths = object_depths(two_objects(), 3, rng(seed))
        assert 0 <= depths.min() <= depths.max() <= 1
        assert np.abs(np.diff(depths[:, :36], axis=1)).max() < 0.06
        jumps.append(abs(depths[30, 43] - depths[30, 36]))
    assert np.median(jumps) > 0.1


def test_depth_jumps_where_an_object_ends():
    """Without relief and with equal colours of light, what shows through differs more at the edge than beside it."""
    steps = []
    for seed in range(20):
        haze = SceneHaze(Haze((0.8, 0.8, 0.8), density=2.0, horizon=0.0, relief=0.0), objects=2, jump=0.9, uneven=0.0)
        picture = two_objects()
        through = (204 - add_scene_haze(picture, haze, rng(seed))[..., 0].astype(float)) / (204 - picture[..., 0])
        steps.append((abs(through[30, 44] - through[30, 35]), abs(through[30, 31] - through[30, 22])))
    at_edge, beside = np.array(steps).T
    assert np.median(at_edge) > 3 * np.median(beside)


def test_uneven_light_makes_a_dense_haze_uneven():
    picture = two_objects()

    def deviation(uneven):
        haze = SceneHaze(Haze((0.7, 0.7, 0.7), density=60.0, horizon=0.0, relief=0.0), 2, 0.1, uneven)
        return add_scene_haze(picture, haze, rng(1)).std()

    assert deviation(0.0) < 12
    assert deviation(0.25) > deviation(0.0) + 8


def test_scene_haze_covers_rooms_and_mists():
    drawn = [sample_scene_haze(rng(seed)) for seed in range(300)]
    densities = [haze.base.density for haze in drawn]
    assert 0.2 <= min(densities) < 0.3
    assert 3 < max(densities) <= 3.5
    tints = [haze.base.airlight[0] - haze.base.airlight[2] for haze in drawn]
    assert min(tints) < -0.06
    assert max(tints) > 0.06
