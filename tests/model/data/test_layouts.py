"""The layouts in which the public sets come, drawn small, and what is no layout."""

import numpy as np
import pytest
from PIL import Image

from model.data.datasets import DatasetError
from model.data.layouts import find_layout, load_pairs


def write(folder, *names):
    """Write a picture of its own for each name."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)


def picture(seed, width=32):
    y, x = np.mgrid[:24, :width]
    return (np.stack([4 * x, 6 * y, 3 * (x + y)], -1) + seed).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("degraded", "clean", "words"),
    [
        (("input/a.png", "input/b.png"), ("target/a.png", "target/b.png"), "input/ and target/, matched by name"),
        (("rainy/a.png",), ("norain/a.bmp",), "rainy/ and norain/, matched by name"),
        (("Rain/rain-001.png",), ("NoRain/norain-001.png",), "Rain/ and NoRain/, rain-1 with norain-1"),
        (("rain/rain-1.png", "rain/rain-2.png"), ("norain-1.png", "norain-2.png"), "rain/ and norain… beside it"),
        (("rain-1.png", "rain-2.png"), ("norain-1.png", "norain-2.png"), "rain… and norain… in one folder"),
        (("hazy/1400_1.png", "hazy/1400_2.png"), ("gt/1400.png", "gt/1400.png"), "hazy/ and gt/, name_… with name"),
        (("hazy/0001_0.8_0.2.jpg",), ("clear/0001.png",), "hazy/ and clear/, name_… with name"),
        (("hazy/01_outdoor_hazy.jpg",), ("GT/01_outdoor_GT.jpg",), "hazy/ and GT/, name_… with name"),
        (("rainy_image/9_1.jpg", "rainy_image/9_14.jpg"), ("ground_truth/9.jpg",) * 2, "ground_truth/, name_… with"),
    ],
)
def test_each_usual_layout_is_found_and_named(tmp_path, degraded, clean, words):
    write(tmp_path, *degraded, *clean)
    layout = find_layout(tmp_path)
    assert layout.files == {tmp_path / wet: tmp_path / dry for wet, dry in zip(degraded, clean, strict=True)}
    assert words in str(layout)
    pairs = load_pairs(tmp_path)
    assert [pair.name for pair in pairs] == sorted(path.stem for path in layout.files)
    assert pairs[0].degraded.shape == pairs[0].clean.shape == (24, 32, 3)


def test_the_longest_name_is_the_likeliest(tmp_path):
    """A clean picture may have underscores of its own."""
    write(tmp_path, "hazy/room_2_1.png", "hazy/room_1.png", "gt/room_2.png", "gt/room.png", "gt/room_1.png")
    found = {wet.name: dry.name for wet, dry in find_layout(tmp_path).files.items()}
    assert found == {"room_2_1.png": "room_2.png", "room_1.png": "room_1.png"}


def test_side_by_side_pictures_are_known_by_their_likeness(tmp_path):
    clean = picture(0, 60)
    rainy = clean + np.random.default_rng(0).integers(0, 30, clean.shape, np.uint8)
    Image.fromarray(np.concatenate([clean, rainy], axis=1)).save(tmp_path / "1.png")
    layout = find_layout(tmp_path)
    assert str(layout) == "side by side, clean left and degraded right"
    (pair,) = layout.load()
    assert pair.clean.mean() < pair.degraded.mean()


def test_photos_that_are_no_pairs_are_not_scored_as_if_they_were(tmp_path):
    write(tmp_path, "narrow.png")
    Image.new("RGB", (80, 40), "red").save(tmp_path / "flat.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)).save(tmp_path / "noise.png")
    with pytest.raises(DatasetError, match=r"3 of 3 pictures cannot be used(.|\n)*side by side, and"):
        load_pairs(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds none of these"),
        (("hazy/a.png",), "holds hazy/ alone"),
        (("gt/a.png", "a.png"), "holds gt/ alone"),
        (("hazy/a.png", "gt/a.png", "clear/a.png"), "holds clear/ and gt/: only one"),
        (("other/a.png",), "holds none of these"),
    ],
)
def test_what_is_no_layout_is_told_with_those_that_are(tmp_path, names, message):
    write(tmp_path, *names)
    with pytest.raises(DatasetError, match=message):
        find_layout(tmp_path)


def test_a_picture_without_a_clean_one_is_named(tmp_path):
    write(tmp_path, "hazy/1_1.png", "hazy/2_1.png", "gt/1.png")
    with pytest.raises(DatasetError, match=r"2_1\.png: has no target"):
        load_pairs(tmp_path)


def test_take_that_leaves_nothing_is_told(tmp_path):
    write(tmp_path, "hazy/1.png", "gt/1.png")
    with pytest.raises(DatasetError, match="take 2/3 leaves none of 1 pictures"):
        load_pairs(tmp_path, "2/3")
