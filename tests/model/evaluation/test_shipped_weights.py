"""The default weights, on a scene drawn here: they restore, spare what is clear, and leave the sky whole.

Weights that no device takes by default are previews; whether they pass is what keeps them so.
"""

import numpy as np
import pytest

from model.checkpoints.catalog import Catalog
from model.data.datasets import Pair
from model.data.fields import WHOLE, Field
from model.data.haze import Haze, add_haze
from model.data.rain import Rain, RainLayer, add_rain
from model.evaluation.protocol import evaluate
from model.inference.restorer import Restorer


@pytest.fixture(scope="module")
def scene():
    """A plain sky over fields, a wood, and a road with white lines that runs to the horizon.

    The wood is in shade: a scene in which nothing is dark looks as it would in thin haze.
    """
    rng = np.random.default_rng(0)
    height, width, horizon = 320, 416, 170
    y, x = np.mgrid[:height, :width].astype(np.float32)
    sky = np.float32([120, 160, 205]) + (y / horizon)[..., None] * np.float32([70, 50, 20])
    grain = rng.normal(0, 9, (height, width)).astype(np.float32) + 50 * Field.draw(rng).over(WHOLE, height, width)
    picture = np.where((y < horizon)[..., None], sky, np.float32([70, 95, 50]) + grain[..., None])
    depth = (y - horizon).clip(1)
    away = np.abs(x - width / 2) / depth
    picture[(y >= horizon) & (away < 1.1)] = 78
    wood = (x < 150) & (y < horizon + 16) & (y > horizon - 20 + 8 * np.sin(x / 9))
    picture[wood] = np.float32([22, 30, 18]) + rng.normal(0, 7, (wood.sum(), 1)).astype(np.float32)
    lines = (y >= horizon + 4) & ((np.abs(away - 0.95) < 0.05) | ((away < 0.04) & (1500 / depth % 10 < 6)))
    picture[lines] = 225
    return picture.clip(0, 255).astype(np.uint8)


DEFAULTS = [entry for entry in Catalog.load().entries if entry.device != "none"]


@pytest.fixture(scope="module", params=DEFAULTS, ids=lambda entry: entry.name)
def weights(request):
    """A shipped entry and its restorer on the CPU."""
    path = Catalog.load().path(request.param)
    return request.param, Restorer.load(path, device="cpu", precision="fp32", sha256=request.param.sha256)


def degrade(task, picture):
    rng = np.random.default_rng(1)
    if task == "derain":
        near, far = RainLayer(0.06, 40, 2.2, 12, 0.7), RainLayer(0.1, 18, 1.2, 10, 0.4)
        return add_rain(picture, Rain((near, far), veil=0.0, screen=False), rng)
    return add_haze(picture, Haze((0.85, 0.86, 0.88), density=1.1, horizon=0.8, relief=0.0), rng)


def test_they_restore_and_the_sky_stays_in_one_piece(weights, scene):
    entry, restorer = weights
    pair = Pair(entry.task, degrade(entry.task, scene), scene)
    score = evaluate(restorer.restore, [pair], restorer.plan).mean
    assert score.psnr_y > score.input_psnr_y + 3
    assert score.tile_step <= 1


def test_they_hardly_touch_a_clear_picture(weights, scene):
    _, restorer = weights
    score = evaluate(restorer.restore, [Pair("clear", scene, scene)], restorer.plan).mean
    assert score.psnr_y >= 30
    assert score.tile_step <= 1
