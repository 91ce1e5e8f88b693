import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.tiling import Stitcher, TilePlan, cut, most_tiles, shrink

plans = st.builds(
    TilePlan,
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    tile=st.just(64),
    overlap=st.sampled_from([0, 1, 7, 8, 16]),
    overview=st.booleans(),
)


def picture(plan, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (plan.height, plan.width, 3), np.uint8)


def stitched(plan, tiles, order):
    stitcher = Stitcher(plan)
    for index in order:
        stitcher.add(index, tiles[index])
    return stitcher.image()


@settings(deadline=None, max_examples=150)
@given(plans, st.randoms(use_true_random=False))
def test_stitching_what_was_cut_is_the_picture(plan, rng):
    """Exactly, for every size from 1×1, every overlap, and tiles coming back in any order."""
    image = picture(plan)
    order = list(range(len(plan)))
    rng.shuffle(order)
    tiles = {index: cut(image, plan, index) for index in order}
    assert all(tile.shape == (plan.tile, plan.tile, 3) for tile in tiles.values())
    assert np.array_equal(stitched(plan, tiles, order), image)


@settings(deadline=None, max_examples=50)
@given(plans)
def test_every_pixel_s_weights_sum_to_one(plan):
    total = np.zeros((max(plan.height, plan.tile), max(plan.width, plan.tile)), int)
    for index in range(plan.windows):
        top, left = plan.origin(index)
        total[top : top + plan.tile, left : left + plan.tile] += plan.weights(index)
    assert (total == 256).all()


def test_the_order_of_tiles_does_not_matter():
    """Blending different tiles gives the same bits in any order: a busy server returns the same picture."""
    plan = TilePlan(300, 210, 64, 16)
    rng = np.random.default_rng(1)
    tiles = {index: rng.integers(0, 256, (64, 64, 3), np.uint8) for index in range(len(plan))}
    order = list(range(len(plan)))
    first = stitched(plan, tiles, order)
    random.Random(2).shuffle(order)
    assert np.array_equal(first, stitched(plan, tiles, order))


def test_the_reference_tiling_pushes_the_last_window_inward():
    """For 150 rows: windows at 0 and 22, and the second gives only the rows from 128 on."""
    plan = TilePlan(150, 128, 128, 0)
    assert plan.rows == [0, 22]
    black, white = np.zeros((128, 128, 3), np.uint8), np.full((128, 128, 3), 255, np.uint8)
    rows = stitched(plan, [black, white], [0, 1])[:, 0, 0]
    assert (rows[:128] == 0).all()
    assert (rows[128:] == 255).all()


def test_a_step_between_tiles_becomes_a_ramp():
    """Blending spreads a difference over the overlap instead of leaving a seam."""
    plan = TilePlan(64, 112, 64, 16)
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    row = stitched(plan, [black, white], [0, 1])[0, :, 0].astype(int)
    steps = np.diff(row)
    assert row[0] == 0
    assert row[-1] == 255
    assert steps.min() >= 0
    assert steps.max() <= 255 // 16 + 1


def overviews(plan):
    """List the plans of a plan's overviews, largest first."""
    while plan.smaller:
        plan = plan.smaller
        yield plan


def test_overviews_end_with_one_tile_that_shows_all():
    plan = TilePlan(1000, 5000, 64, 16, overview=True)
    assert [(each.height, each.width, each.windows) for each in overviews(plan)] == [
        (125, 625, 39),
        (64, 79, 2),
        (64, 64, 1),
    ]
    assert len(plan) == plan.windows + 39 + 2 + 1
    image = picture(plan)
    whole = shrink(shrink(shrink(image, 125, 625), 64, 79), 64, 64)
    assert np.array_equal(cut(image, plan, len(plan) - 1), whole)
    assert len(TilePlan(64, 40, 64, 16, overview=True)) == 1


def test_a_shrunken_pixel_is_the_mean_of_its_share():
    image = picture(TilePlan(30, 50, 64, 0))
    means = image.reshape(10, 3, 10, 5, 3).mean(axis=(1, 3))
    assert np.abs(shrink(image, 10, 10) - means).max() <= 0.5
    assert np.array_equal(shrink(image, 60, 50), image.repeat(2, axis=0))


@pytest.mark.parametrize("size", [(100, 150), (300, 700), (900, 1300)])
def test_an_overview_evens_out_tiles_that_came_back_unequally_bright(size):
    """Each tile of each size is wrong by up to thirty grey levels; the last, restored right, decides instead."""
    plan = TilePlan(*size, 64, 16, overview=True)
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    scene = np.repeat((60 + 60 * y + 50 * x).astype(np.uint8)[:, :, None], 3, axis=2)
    rng = np.random.default_rng(3)
    wrong = {index: (cut(scene, plan, index) + rng.integers(-30, 31)).astype(np.uint8) for index in range(len(plan))}
    wrong[len(plan) - 1] = cut(scene, plan, len(plan) - 1)
    alone = np.abs(stitched(TilePlan(*size, 64, 16), wrong, range(plan.windows)).astype(int) - scene)
    error = np.abs(stitched(plan, wrong, sorted(wrong)).astype(int) - scene)
    assert error.mean() < alone.mean() / 4
    assert np.quantile(error, 0.99) < 16


def test_an_overview_changes_brightness_but_no_detail():
    """Twenty grey levels more in the overview are twenty more everywhere, and the texture of the tiles stands."""
    plan = TilePlan(200, 260, 64, 16, overview=True)
    image = 100 + picture(plan) % 50
    tiles = {index: cut(image, plan, index) for index in range(len(plan))}
    tiles[plan.windows] = tiles[plan.windows] + np.uint8(20)
    assert np.array_equal(stitched(plan, tiles, sorted(tiles)), image + 20)


def test_a_correction_stays_within_black_and_white():
    plan = TilePlan(100, 100, 64, 0, overview=True)
    white, black = np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64, 3), np.uint8)
    dark = stitched(plan, [white] * plan.windows + [black], range(len(plan)))
    light = stitched(plan, [black] * plan.windows + [white], range(len(plan)))
    assert (dark == 127).all()  # the most that a correction can take away
    assert (light == 127).all()


def test_adding_a_tile_twice_is_an_error():
    plan = TilePlan(64, 64, 64, 0)
    stitcher = Stitcher(plan)
    stitcher.add(0, np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(KeyError):
        stitcher.add(0, np.zeros((64, 64, 3), np.uint8))


def test_a_missing_tile_is_an_error():
    with pytest.raises(AssertionError, match="1 tiles were never added"):
        Stitcher(TilePlan(10, 10, 64, 0)).image()


@settings(deadline=None)
@given(st.integers(1, 40_000), st.integers(1, 400), st.tuples(st.sampled_from([0, 8, 16]), st.booleans()))
def test_no_picture_within_the_limits_needs_more_tiles(pixels, side, laid):
    """The bound is never exceeded by any width, and some picture reaches it."""
    widths = (width for width in range(1, side + 1) if pixels // width)
    needed = [len(TilePlan(min(side, pixels // width), width, 64, *laid)) for width in widths]
    assert max(needed) == most_tiles(pixels, side, 64, *laid)


@pytest.mark.parametrize("size", [(0, 5), (5, -1)])
def test_an_empty_picture_is_refused(size):
    with pytest.raises(ValueError, match="cannot be tiled"):
        TilePlan(*size, 64, 0)


def test_an_overlap_beyond_a_quarter_is_refused():
    with pytest.raises(ValueError, match="overlap is 17"):
        TilePlan(100, 100, 64, 17)
