from math import isnan

import numpy as np
import pytest

from model.evaluation.tile_steps import tile_step_growth
from model.inference.tiling import Stitcher, TilePlan, cut


def sky(height=300, width=400):
    """A slow gradient, bright at the horizon."""
    return np.broadcast_to(np.linspace(150, 210, height)[:, None, None], (height, width, 3)).astype(np.uint8)


def restore(picture, plan, change):
    stitcher = Stitcher(plan)
    for index in range(len(plan)):
        stitcher.add(index, change(cut(picture, plan, index), index))
    return stitcher.image()


@pytest.mark.parametrize("overlap", [0, 16, 32])
def test_a_restorer_that_changes_every_tile_alike_adds_no_step(overlap):
    plan = TilePlan(300, 400, 128, overlap)
    after = restore(sky(), plan, lambda tile, _: tile - 9)
    assert tile_step_growth(sky(), after, plan) == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("overlap", [0, 16])
def test_a_patchwork_sky_is_measured_in_grey_levels(overlap):
    """A chessboard of tiles 7 apart in RGB is 6 apart in Y, whose range is 219 of 255."""
    plan = TilePlan(300, 384, 128, overlap)
    columns = len(plan.columns)
    before = np.full((300, 384, 3), 180, np.uint8)
    after = restore(before, plan, lambda tile, index: tile - np.uint8(7 * (sum(divmod(index, columns)) % 2)))
    assert tile_step_growth(before, after, plan) == pytest.approx(6, abs=1)


def test_only_flat_places_count():
    noisy = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    assert isnan(tile_step_growth(noisy, noisy, TilePlan(256, 256, 128, 0)))
    assert tile_step_growth(noisy, noisy, TilePlan(256, 256, 128, 0), clean=sky(256, 256)) == 0


def test_contrast_that_is_given_back_is_no_step_of_tiles():
    """A slope that comes out three times as steep grows across seams as it does inside tiles."""
    plan = TilePlan(300, 400, 128, 32)
    steep = sky()
    before = (steep.astype(int) // 3 + 120).astype(np.uint8)
    assert tile_step_growth(before, steep, plan) == pytest.approx(0, abs=0.3)


def test_a_patchwork_is_found_beneath_contrast_that_is_given_back():
    """Along a slope steps go with it and against it by turns, so a little of their 17 levels is missed."""
    plan = TilePlan(300, 384, 128, 16)
    columns = len(plan.columns)
    steep = sky(300, 384)
    before = (steep.astype(int) // 3 + 120).astype(np.uint8)
    after = restore(steep, plan, lambda tile, index: tile - np.uint8(20 * (sum(divmod(index, columns)) % 2)))
    assert 10 < tile_step_growth(before, after, plan) < 18


def test_a_picture_whose_seams_are_too_near_to_the_middles_has_no_figure():
    """Two windows of 128 over 140 pixels meet in the middle of both."""
    plain = np.full((128, 140, 3), 180, np.uint8)
    assert isnan(tile_step_growth(plain, plain, TilePlan(128, 140, 128, 32)))
