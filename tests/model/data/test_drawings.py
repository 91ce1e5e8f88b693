import numpy as np

from model.data.drawings import draw_markings


def test_the_same_seed_draws_the_same_markings():
    grey = np.full((96, 80, 3), 90, np.uint8)
    pictures = [draw_markings(grey, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], grey)
