import pytest

from model.training.recipe import Optimiser, Phase
from model.training.schedule import averaging_decay, learning_rate, phase_at

OPTIMISER = Optimiser(peak_rate=1e-3, final_rate=1e-6, warmup_steps=9)


def test_the_rate_rises_over_the_warm_up_and_ends_at_its_final_value():
    assert learning_rate(OPTIMISER, 0, 0.0) == pytest.approx(1e-4)
    assert learning_rate(OPTIMISER, 9, 0.0) == pytest.approx(1e-3)
    assert learning_rate(OPTIMISER, 500, 0.5) == pytest.approx((1e-3 + 1e-6) / 2)
    assert learning_rate(OPTIMISER, 1000, 1.0) == pytest.approx(1e-6)


def test_the_rate_never_rises_after_the_warm_up_nor_falls_under_its_end():
    rates = [learning_rate(OPTIMISER, 100 + step, step / 100) for step in range(130)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1e-6)


def test_the_linear_schedule_is_flat_and_then_falls_to_its_end():
    linear = Optimiser(peak_rate=1e-3, final_rate=1e-5, warmup_steps=0, schedule="linear", flat=0.5)
    assert learning_rate(linear, 1, 0.0) == learning_rate(linear, 1, 0.5) == pytest.approx(1e-3)
    assert learning_rate(linear, 1, 0.75) == pytest.approx((1e-3 + 1e-5) / 2)
    assert learning_rate(linear, 1, 1.0) == pytest.approx(1e-5)
    constant = Optimiser(peak_rate=1e-3, warmup_steps=0, schedule="linear", flat=1.0)
    assert learning_rate(constant, 1, 1.0) == pytest.approx(1e-3)


def test_a_warm_up_takes_a_tenth_of_a_run_at_most():
    assert learning_rate(OPTIMISER, 3, 0.0, steps=30) == pytest.approx(1e-3)
    assert learning_rate(OPTIMISER, 3, 0.0, steps=1000) == pytest.approx(4e-4)
    slow = Optimiser(peak_rate=1e-3, final_rate=1e-3, warmup_steps=300)
    by_the_clock = [
        learning_rate(slow, step, progress) for step, progress in ((0, 0.0), (3, 0.05), (9, 0.1), (20, 0.3))
    ]
    assert by_the_clock == pytest.approx([1e-3 / 301, 5e-4, 1e-3, 1e-3])


def test_a_phase_ends_where_it_says_and_the_last_one_never():
    phases = (Phase(64, 8, 0.6), Phase(128, 2, 1.0))
    assert phase_at(phases, 0.0).crop == 64
    assert phase_at(phases, 0.5999).crop == 64
    assert phase_at(phases, 0.6).crop == 128
    assert phase_at(phases, 1.0).crop == 128


def test_the_average_begins_short():
    assert averaging_decay(0.999, 0) == pytest.approx(0.1)
    assert averaging_decay(0.999, 10**6) == 0.999
