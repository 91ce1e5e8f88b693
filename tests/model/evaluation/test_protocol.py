import json

import numpy as np
import pytest

from model.data.datasets import Pair
from model.evaluation.protocol import UNTOUCHED, evaluate
from model.inference.tiling import TilePlan


def pair(name, error):
    clean = np.full((20, 20, 3), 100, np.uint8)
    return Pair(name, clean + np.uint8(error), clean)


def test_output_and_input_are_scored_side_by_side_and_averaged():
    report = evaluate(lambda picture: (picture.astype(int) // 2 + 50).astype(np.uint8), [pair("a", 8), pair("b", 20)])
    assert report.images["a"].input_psnr_rgb == pytest.approx(20 * np.log10(255 / 8))
    assert report.images["a"].psnr_rgb == pytest.approx(20 * np.log10(255 / 4))
    assert report.mean.psnr_y == pytest.approx(np.mean([score.psnr_y for score in report.images.values()]))
    assert report.worse == []


def test_pictures_that_got_worse_are_named():
    assert evaluate(lambda picture: picture + np.uint8(5), [pair("a", 8), pair("b", 20)]).worse == ["a", "b"]


def test_a_report_is_json_mean_first_even_for_clear_inputs():
    """A clear input has infinite PSNR, which JSON cannot say: null."""
    table = json.loads(json.dumps(evaluate(lambda picture: picture + np.uint8(1), [pair("a", 0)]).to_table()))
    assert list(table) == ["mean", "images"]
    assert table["mean"]["input_psnr_y"] is None
    assert table["images"]["a"]["psnr_y"] > 45


def test_a_picture_that_comes_back_untouched_does_not_hide_the_others():
    report = evaluate(lambda picture: picture - np.uint8(picture[0, 0, 0] > 100), [pair("a", 0), pair("b", 2)])
    assert report.images["a"].psnr_y == np.inf
    assert report.mean.psnr_y == pytest.approx((UNTOUCHED + report.images["b"].psnr_y) / 2)
    assert report.mean.input_psnr_y == np.inf


def test_the_tile_step_is_averaged_over_pictures_that_have_flat_seams():
    """128 and 64 pixels wide, tiles of 64: only the first has a seam; its right tile comes out 10 brighter."""

    def restore(picture):
        return picture + (np.arange(picture.shape[1]) >= 64).astype(np.uint8)[None, :, None] * 10

    wide, narrow = (np.full((64, width, 3), 100, np.uint8) for width in (128, 64))
    pairs = [Pair("wide", wide, wide), Pair("narrow", narrow, narrow)]
    report = evaluate(restore, pairs, lambda height, width: TilePlan(height, width, 64, 0))
    assert report.images["wide"].tile_step == pytest.approx(9, abs=1)
    assert np.isnan(report.images["narrow"].tile_step)
    assert report.mean.tile_step == report.images["wide"].tile_step
    assert evaluate(restore, pairs).to_table()["mean"]["tile_step"] is None
