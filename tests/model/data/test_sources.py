import dataclasses

import numpy as np
import pytest
from PIL import Image

from model.data import sources
from model.data.camera_rain import sample_camera_rain
from model.data.datasets import DatasetError, Pair
from model.data.scenes import draw_scenes
from model.data.sources import (
    VALIDATION_SEED,
    SourceSpec,
    ValidationSpec,
    build_mixture,
    build_validation,
    lift_rain,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with one picture of each kind."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for path, width in (
        ("photos/a.png", 96),
        ("pairs/input/b.png", 96),
        ("pairs/target/b.png", 96),
        ("both/c.png", 200),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (96, width, 3), np.uint8)).save(folder / path)
    return folder


def mixture(data, kind, path, **options):
    return build_mixture([SourceSpec(kind, (path,), share=1, **options)], data, side=64, seed=0)


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "pairs", "path": "pairs"},
        {"kind": "side_by_side", "path": "both"},
        {"kind": "rain", "path": "photos", "heavy": 1.0},
        {"kind": "downpour", "path": "photos"},
        {"kind": "camera_rain", "path": "photos"},
        {"kind": "haze", "path": "photos"},
        {"kind": "scene_haze", "path": "photos"},
        {"kind": "layers", "path": "photos", "layers": ("pairs",)},
    ],
    ids=lambda source: source["kind"],
)
def test_every_kind_of_source_gives_degraded_samples(data, source):
    degraded, clean = mixture(data, **source).batch(0, 4, 64)
    assert degraded.shape == clean.shape == (4, 64, 64, 3)
    assert not np.array_equal(degraded, clean)


def test_clean_photos_are_to_be_left_as_they_are(data):
    """Markings painted on them belong to the scene: on both pictures."""
    degraded, clean = mixture(data, "clean", "photos", markings=1.0).batch(0, 4, 64)
    assert np.array_equal(degraded, clean)


def test_stark_photos_are_raised_in_contrast_before_the_rain(data):
    """The rain lies over them and is not cut short with them; both pictures are of the same scene."""
    plain, stark = (
        [mixture(data, kind, "photos", stark=chance).batch(0, 4, 64) for kind in ("clean", "rain")] for chance in (0, 1)
    )
    assert all(clean.std() > 1.5 * before.std() for (_, clean), (_, before) in zip(stark, plain, strict=True))
    assert np.array_equal(*stark[0])
    degraded, clean = stark[1]
    assert (degraded.astype(int) - clean).max() > 30


def test_camera_rain_can_be_held_to_some_kinds_of_drop_at_even_odds(data, monkeypatch):
    asked = []

    def draw(rng, kind):
        asked.append(kind)
        return sample_camera_rain(rng, kind=kind)

    monkeypatch.setattr(sources, "sample_camera_rain", draw)
    mixture(data, "camera_rain", "photos", drops=("dashes", "flakes")).batch(0, 40, 64)
    assert set(asked) == {"dashes", "flakes"}
    assert 10 <= asked.count("flakes") <= 30
    asked.clear()
    mixture(data, "camera_rain", "photos").batch(0, 2, 64)
    assert asked == [None, None]


def test_an_unknown_kind_is_an_error(data):
    with pytest.raises(ValueError, match="kind is 'snow'"):
        mixture(data, "snow", "photos")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoom": (3, 0.5)}, r"zoom is \[3, 0\.5\]"),
        ({"zoom": (0, 2)}, "both above zero"),
        ({"path": ()}, "needs a path, or a number of scenes"),
        ({"kind": "pairs", "drawn": 3}, "drawn is 3; scenes are drawn clean"),
        ({"grey": 1.5}, "grey is 1.5; it is a chance"),
        ({"drawn": 3, "scenes": ("sky", "forest")}, "scenes has 'forest'; it may name facade, brick"),
        ({"picks": 0}, "picks is 0; it must be 1 or more"),
        ({"scenes": ("sky",)}, r"scenes is \['sky'\] and drawn is 0"),
        ({"drops": ("flakes", "hail")}, "drops has 'hail'; it may name streaks, dashes"),
    ],
)
def test_options_out_of_range_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        SourceSpec(**{"kind": "clean", "path": ("photos",), "share": 1, **options})


def test_scenes_drawn_by_code_stand_beside_the_photos(data):
    """The same seed draws the same ones, all sources share them, and validation has others."""
    specs = [SourceSpec("clean", ("photos",), drawn=3, share=1), SourceSpec("rain", drawn=3, share=1)]
    first, second = build_mixture(specs, data, side=64, seed=5).sources
    assert [pair.name for pair in first.pairs] == ["a", "scene 0", "scene 1", "scene 2"]
    assert [pair.name for pair in second.pairs] == ["scene 0", "scene 1", "scene 2"]
    assert second.pairs[0] is first.pairs[1]
    again = build_mixture(specs, data, side=64, seed=5).sources[1]
    assert all(np.array_equal(a.clean, b.clean) for a, b in zip(second.pairs, again.pairs, strict=True))
    held = build_validation(ValidationSpec("held", "clean", drawn=3), data)
    assert np.array_equal(held[0].clean, held[0].degraded)
    assert not any(np.array_equal(a.clean, b.clean) for a, b in zip(second.pairs, held, strict=True))


def test_scenes_can_be_held_to_some_kinds(data):
    two = SourceSpec("clean", drawn=3, scenes=("sky", "grille"), share=1)
    every = SourceSpec("clean", drawn=3, share=1)
    drawn, others = build_mixture([two, every], data, side=64, seed=5).sources
    expected = draw_scenes(3, 5, ("sky", "grille"))
    assert all(np.array_equal(pair.clean, scene) for pair, scene in zip(drawn.pairs, expected, strict=True))
    assert not np.array_equal(drawn.pairs[0].clean, others.pairs[0].clean)
    held = build_validation(ValidationSpec("held", "clean", drawn=1, scenes=("night",)), data)
    assert np.array_equal(held[0].clean, draw_scenes(1, VALIDATION_SEED, ("night",))[0])


def test_pictures_smaller_than_a_crop_are_left_out_and_named(data):
    spec = SourceSpec("clean", ("photos", "small"), share=1)
    (data / "small").mkdir(exist_ok=True)
    Image.fromarray(np.zeros((96, 60, 3), np.uint8)).save(data / "small" / "s.png")
    (source,) = build_mixture([spec], data, side=64, seed=0).sources
    assert [pair.name for pair in source.pairs] == ["a"]
    assert source.left_out == ("s",)
    with pytest.raises(DatasetError, match="none of 1 pictures has 64 × 64 pixels"):
        mixture(data, "clean", "small")


def test_rain_lifted_from_a_small_picture_covers_a_large_one():
    scene, photo = np.full((40, 64, 3), 50, np.uint8), np.full((90, 80, 3), 120, np.uint8)
    rainy, _ = lift_rain([Pair("a", scene + np.uint8(80), scene)])(photo, np.random.default_rng(0), (0, 1, 0, 1))
    assert (rainy > photo).all()


def test_lifted_rain_is_the_difference_of_a_pair_on_another_photo():
    scene, photo = np.full((64, 64, 3), 50, np.uint8), np.full((64, 64, 3), 120, np.uint8)
    streak = np.zeros((64, 64, 1), np.uint8)
    streak[:, 10] = 100
    rainy, clean = lift_rain([Pair("a", scene + streak, scene)])(photo, np.random.default_rng(0), (0, 1, 0, 1))
    assert np.array_equal(clean, photo)
    wet = (rainy != photo).any(axis=(0, 2))
    assert wet.sum() == 1
    assert 60 <= rainy[0, wet.argmax(), 0] - 120 <= 120


def test_a_validation_set_is_the_same_every_time(data):
    spec = ValidationSpec("held", "rain", "photos", heavy=1.0)
    first, again = build_validation(spec, data), build_validation(spec, data)
    assert np.array_equal(first[0].degraded, again[0].degraded)
    assert not np.array_equal(first[0].degraded, first[0].clean)
    for kind, path, name in (("pairs", "pairs", "b"), ("side_by_side", "both", "c")):
        (pair,) = build_validation(dataclasses.replace(spec, kind=kind, path=path), data)
        assert pair.name == name
