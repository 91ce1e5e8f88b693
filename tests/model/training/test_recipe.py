from pathlib import Path

import pytest

from model.network.config import DMSRConfig
from model.training.recipe import Recipe, RecipeError

RECIPES = sorted((Path(__file__).parents[3] / "model" / "training" / "recipes").glob("*.toml"))

SMALLEST = """
task = "derain"
steps = 10
tile = 64
overlap = 16

[network]
width = 4
depth = 1

[[phase]]
crop = 64
batch = 2

[[source]]
kind = "pairs"
path = "pairs"
share = 1
"""


def load(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return Recipe.load(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_house_can_be_read(path):
    recipe = Recipe.load(path)
    assert recipe.task in path.stem or path.stem == "paper"
    assert all(phase.crop % 16 == 0 for phase in recipe.phases)
    assert recipe.phases[-1].until == 1.0


def test_the_paper_recipe_is_the_papers():
    recipe = Recipe.load(next(path for path in RECIPES if path.stem == "paper"))
    assert recipe.network == DMSRConfig(48, 16)
    assert (recipe.optimiser.peak_rate, recipe.optimiser.final_rate) == (2e-4, 1e-6)
    assert [(phase.crop, phase.batch) for phase in recipe.phases] == [(64, 12)]


def test_a_small_recipe_has_sensible_defaults(tmp_path):
    recipe = load(tmp_path, SMALLEST)
    assert recipe.sources[0].path == ("pairs",)
    assert recipe.sources[0].take == "all"
    assert recipe.validations == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 10", "steps = 10\nspeed = 3", r"unknown key 'speed' in \[recipe\]"),
        ("crop = 64", "crop = 64\nsize = 3", r"unknown key 'size' in \[phase\]"),
        ("share = 1", "", r"\[source\]:.*'share'"),
        ("share = 1", "share = 0", "shares above zero"),
        ("width = 4", "width = 5", "width is 5"),
        ("[[phase]]", "[[phase]]\ncrop = 64\nbatch = 1\n[[phase]]", "each `until` greater"),
        (
            "[[phase]]",
            '[optimiser]\nkind = "sgd"\n[[phase]]',
            "kind is 'sgd' in .optimiser.; it must be one of adam, muon",
        ),
        ("[[phase]]", '[optimiser]\nschedule = "step"\n[[phase]]', "schedule is 'step'"),
        ("task =", "task", "recipe.toml: "),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told(tmp_path, old, new, message):
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, SMALLEST.replace(old, new))


def test_a_missing_recipe_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"nothing\.toml cannot be read"):
        Recipe.load(tmp_path / "nothing.toml")
