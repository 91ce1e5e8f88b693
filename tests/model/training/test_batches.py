import os
from contextlib import closing
from itertools import islice

import numpy as np
import pytest

from model.data.datasets import Pair
from model.data.mixture import Mixture, Source
from model.training.batches import batches
from model.training.recipe import Phase
from tests.pictures import drawn


def phase_of(step):
    return Phase(crop=16, batch=2) if step < 5 else Phase(crop=32, batch=1)


@pytest.fixture
def mixture():
    pictures = [Pair(str(seed), drawn(40, 50, seed), drawn(40, 50, seed)) for seed in range(3)]
    seen = Source("pictures", 1, pictures, lambda clean, rng, _: (clean // 2 + np.uint8(rng.integers(9)), clean))
    return Mixture([seen], seed=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_drawn_depends_on_the_step_alone(mixture, workers):
    """Step for step what the mixture gives, phase for phase, begun anywhere, by whoever draws."""
    with closing(batches(mixture, phase_of, 3, workers)) as drawn_ahead:
        for step, (phase, degraded, clean) in enumerate(islice(drawn_ahead, 4), 3):
            assert phase == phase_of(step)
            wanted = mixture.batch(step, phase.batch, phase.crop)
            assert np.array_equal(np.asarray(degraded), wanted[0])
            assert np.array_equal(np.asarray(clean), wanted[1])


def test_workers_are_other_processes():
    class Telling:
        def batch(self, step, count, size):
            return np.full(1, os.getpid()), np.full(1, step)

    with closing(batches(Telling(), phase_of, 0, 2)) as drawn_ahead:
        processes = {int(process[0]) for _, process, _ in islice(drawn_ahead, 6)}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_nothing_is_left_when_the_run_ends(mixture):
    drawn_ahead = batches(mixture, phase_of, 0, 2)
    next(drawn_ahead)
    import multiprocessing

    assert multiprocessing.active_children()
    drawn_ahead.close()
    for child in multiprocessing.active_children():
        child.join(30)
    assert not multiprocessing.active_children()
