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
    assert tile_step_growth(sky(), after, plan) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("overlap", [0, 16])
def test_a_patchwork_sky_is_measured_in_grey_levels(overlap):
    """A chessboard of tiles 7 apart in RGB is 6 apart in Y, whose range is 219 of 255."""
    plan = TilePlan(300, 384, 128, overlap)
    columns = len(plan.columns)
    after = restore(sky(300, 384), plan, lambda tile, index: tile - np.uint8(7 * (sum(divmod(index, columns)) % 2)))
    growth = tile_step_growth(np.full((300, 384, 3), 180, np.uint8), after, plan)
    assert growth == pytest.approx(6, abs=2)


def test_only_flat_places_count():
    noisy = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    assert isnan(tile_step_growth(noisy, noisy, TilePlan(256, 256, 128, 0)))
    assert tile_step_growth(noisy, noisy, TilePlan(256, 256, 128, 0), clean=sky(256, 256)) == 0
