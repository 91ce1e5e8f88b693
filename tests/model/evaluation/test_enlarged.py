import numpy as np
import pytest

from model.data.datasets import Pair
from model.evaluation.enlarged import enlarge, measure_enlarged
from model.inference.scales import Outcome
from tests.pictures import drawn

PAIR = Pair("a", drawn(40, 60, seed=1), drawn(40, 60))


def test_both_are_enlarged_and_the_degraded_one_is_a_jpeg():
    large = enlarge(PAIR, 2)
    assert large.degraded.shape == large.clean.shape == (80, 120, 3)
    one = enlarge(PAIR, 1)
    assert np.array_equal(one.clean, PAIR.clean)
    assert not np.array_equal(one.degraded, PAIR.degraded)


def test_gains_and_scales_are_counted():
    """A restorer that does nothing gains nothing."""
    row = measure_enlarged(lambda rgb: Outcome(rgb, (0.5, 0.25)), [PAIR, PAIR], 2)
    assert row.gain == row.least_gain == pytest.approx(0)
    assert row.scales == {"0.5, 0.25": 2}
