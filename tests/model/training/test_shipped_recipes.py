"""Every recipe of the house, loaded against a data folder drawn here with the sizes of the real sets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.data.sources import build_mixture, build_validation
from model.training.recipe import Recipe

RECIPES = sorted((Path(__file__).parents[3] / "model" / "training" / "recipes").glob("*.toml"))

# Width × height of the smallest, a common and a large picture of each set.
PAIRS = {
    "pairs": [(481, 321)],
    "rain/train/RainTrainL": [(481, 321), (321, 481)],
    "rain/train/Heavy32": [(481, 321), (321, 481)],
    "rain/val/Rain12": [(481, 321)],
    "haze/val/SOTS_indoor_few": [(620, 460)],
    "haze/val/SOTS_outdoor_few": [(550, 413)],
    "haze/val/ITS_few": [(620, 460)],
    "Rain13K/train": [(512, 384)],
    "Rain13K/test/Rain100L": [(481, 321)],
}
PICTURES = {
    "rain/train/Rain800_side_by_side": [(1024, 384), (712, 142), (962, 321), (568, 177)],
    "clean/BSDS500": [(481, 321), (321, 481)],
    "clean/Urban100": [(496, 900), (900, 598)],
    "clean/SunHays80": [(1024, 426), (1024, 768)],
    "clean/Kodak24": [(768, 512), (512, 768)],
    "clean/permissive": [(1200, 656), (1200, 800)],
}
COUNT = 12
"""Pictures a folder: enough for every `take` to leave some."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    halves = {f"{path}/{half}": sizes for path, sizes in PAIRS.items() for half in ("input", "target")}
    for path, sizes in {**PICTURES, **halves}.items():
        (folder / path).mkdir(parents=True)
        for index in range(COUNT):
            width, height = sizes[index % len(sizes)]
            ramp = np.linspace(0, 200, height, dtype=np.uint8)[:, None, None]
            Image.fromarray(np.broadcast_to(ramp, (height, width, 3)).copy()).save(folder / path / f"{index:03}.bmp")
    return folder


def build(recipe, data):
    """Build a recipe's mixture with a few drawn scenes instead of a hundred."""
    specs = [replace(spec, drawn=min(spec.drawn, 3)) for spec in recipe.sources]
    return build_mixture(specs, data, side=recipe.largest_side, seed=recipe.seed)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_house_starts_on_the_real_sizes(path, data):
    recipe = Recipe.load(path)
    for source in build(recipe, data).sources:
        for size in {recipe.tile, *(phase.crop for phase in recipe.phases)}:
            degraded, clean = source.draw(size, np.random.default_rng(0))
            assert degraded.shape == clean.shape == (size, size, 3)
    for spec in recipe.validations:
        assert build_validation(replace(spec, drawn=min(spec.drawn, 3)), data)


def test_a_recipe_for_large_tiles_leaves_out_what_is_smaller(data):
    recipe = Recipe.load(next(path for path in RECIPES if path.stem == "derain-w16d4"))
    assert recipe.largest_side == 144
    (rain800,) = (source for source in build(recipe, data).sources if "Rain800" in source.name)
    assert rain800.left_out
    assert all(pair.clean.shape[0] >= 144 for pair in rain800.pairs)
