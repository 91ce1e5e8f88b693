import numpy as np

from model.data.fields import WHOLE, Field


def test_a_crop_sees_its_part_of_the_scenes_field():
    field = Field.draw(np.random.default_rng(3))
    whole, part = field.over(WHOLE, 101, 101), field.over((0.2, 0.6, 0.5, 0.9), 41, 41)
    assert np.abs(whole[20:61, 50:91] - part).max() < 1e-3


def test_beyond_the_scene_its_border_goes_on():
    field = Field.draw(np.random.default_rng(3))
    wide = field.over((-0.5, 1.5, 0, 1), 41, 21)
    assert np.allclose(wide[:11], wide[10], atol=1e-6)
    assert np.allclose(wide[30:], wide[30], atol=1e-6)
