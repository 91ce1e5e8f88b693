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
    assert recipe.task in path.stem or path.stem in ("paper", "finetune")
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
        ("steps = 10", "steps = 10\nspeed = 3", "the top of the recipe has an unknown key 'speed'; known are task,"),
        ("steps = 10", "", "the top of the recipe lacks the key 'steps'"),
        ("steps = 10", 'steps = "ten"', "the top of the recipe: steps is 'ten'; it must be a whole number"),
        ("steps = 10", "steps = true", "steps is True; it must be a whole number"),
        ("crop = 64", "crop = 64\nsize = 3", r"\[\[phase\]\] 1 has an unknown key 'size'"),
        ("[[phase]]", "[[sources]]\n[[phase]]", "unknown key 'sources'; the tables are"),
        ("[[source]]", "[source]", r"\[source\] stands in single brackets"),
        ("share = 1", "", r"\[\[source\]\] 1 lacks the key 'share'"),
        ('kind = "pairs"', "", r"\[\[source\]\] 1 lacks the key 'kind'"),
        (
            'kind = "pairs"',
            'kind = "pears"',
            r"source.. 1: kind is 'pears'; it must be one of pairs, side_by_side",
        ),
        (
            "share = 1",
            'share = 1\n[[validation]]\nname = "a"\nkind = "pairs"\n[[validation]]\nname = "b"\nkind = "rian"',
            r"\[\[validation\]\] 2: kind is 'rian'",
        ),
        ("share = 1", 'share = 1\n[[validation]]\nname = "a"\nkind = "layers"', "a validation needs pairs"),
        ("share = 1", "share = 0", "share above zero"),
        ("width = 4", "width = 5", "width is 5"),
        ("[[phase]]", "[[phase]]\ncrop = 64\nbatch = 1\n[[phase]]", "each `until` must be greater"),
        (
            "[[phase]]",
            '[optimiser]\nkind = "sgd"\n[[phase]]',
            r"\[optimiser\]: kind is 'sgd'; it must be one of adam, muon",
        ),
        ("[[phase]]", '[optimiser]\nschedule = "step"\n[[phase]]', "schedule is 'step'"),
        ("task =", "task", ""),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told(tmp_path, old, new, message):
    with pytest.raises(RecipeError, match=rf"recipe\.toml: .*{message}"):
        load(tmp_path, SMALLEST.replace(old, new, 1))


def test_a_missing_recipe_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"nothing\.toml cannot be read"):
        Recipe.load(tmp_path / "nothing.toml")
