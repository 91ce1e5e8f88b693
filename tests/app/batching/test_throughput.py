import pytest

from app.batching.throughput import BatchTime


def test_a_line_is_found():
    fit = BatchTime()
    for n in (1, 2, 4, 8):
        fit.observe(n, 0.02 * n + 0.1)
    assert fit.per_tile_seconds == pytest.approx(0.02)
    assert fit.per_batch_seconds == pytest.approx(0.1)
    assert fit.tiles_per_second(8) == pytest.approx(8 / 0.26)


def test_one_batch_size_is_enough_for_a_rate():
    fit = BatchTime()
    fit.observe(4, 2.0)
    fit.observe(4, 2.0)
    assert fit.tiles_per_second(4) == pytest.approx(2.0)


def test_nothing_is_known_before_the_first_batch():
    assert BatchTime().tiles_per_second(4) == 0.0


def test_noise_makes_nothing_free():
    """Larger batches that happened to be quicker must not give a negative price."""
    fit = BatchTime()
    fit.observe(1, 1.0)
    fit.observe(8, 0.5)
    assert fit.per_tile_seconds >= 0
    assert fit.per_batch_seconds >= 0


def test_what_is_long_ago_is_forgotten():
    fit = BatchTime(window=4)
    for _ in range(4):
        fit.observe(2, 10.0)
    for _ in range(4):
        fit.observe(2, 1.0)
    assert fit.tiles_per_second(2) == pytest.approx(2.0)
