import numpy as np
import pytest

from model.data.scenes import SCENES, draw_scene, draw_scenes


@pytest.mark.parametrize("kind", SCENES)
def test_every_scene_is_a_picture_with_something_in_it(kind):
    for seed in range(3):
        scene = draw_scene(np.random.default_rng(seed), kind, 96, 128)
        assert scene.shape == (96, 128, 3)
        assert scene.dtype == np.uint8
        assert len(np.unique(scene)) > 8
        assert scene.std() > 1


def test_the_same_seed_draws_the_same_scene():
    one, two, other = (draw_scene(np.random.default_rng(seed), None, 64, 80) for seed in (4, 4, 5))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_an_unknown_scene_is_told():
    with pytest.raises(ValueError, match="scene is 'forest'; it must be one of facade, brick"):
        draw_scene(np.random.default_rng(0), "forest")


def test_upright_bars_stand_and_windows_repeat():
    """A grille is what it is for: strong upright edges, like rain, evenly spaced, unlike it."""
    contrasts = []
    for seed in range(8):
        scene = draw_scene(np.random.default_rng(seed), "grille", 128, 128).astype(float).mean(axis=2)
        across, down = np.abs(np.diff(scene, axis=1)).mean(), np.abs(np.diff(scene, axis=0)).mean()
        contrasts.append(across / down)
    assert np.median(contrasts) > 2


def test_a_series_has_every_kind_in_turn():
    first, longer = draw_scenes(2, 9), draw_scenes(3, 9)
    assert all(np.array_equal(a, b) for a, b in zip(first, longer, strict=False))
    expected = draw_scene(np.random.default_rng((9, 1)), list(SCENES)[1])
    assert np.array_equal(first[1], expected)


def test_a_series_of_some_kinds_has_these_in_turn():
    drawn = draw_scenes(3, 9, ("sky", "mesh"))
    expected = [draw_scene(np.random.default_rng((9, i)), kind) for i, kind in enumerate(("sky", "mesh", "sky"))]
    assert all(np.array_equal(a, b) for a, b in zip(drawn, expected, strict=True))
