import numpy as np

from model.data.haze import Haze, add_haze, sample_haze


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_same_seed_gives_the_same_picture():
    grey = np.full((96, 80, 3), 90, np.uint8)
    pictures = [add_haze(grey, sample_haze(rng(seed)), rng(seed)) for seed in (5, 5, 6)]
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
