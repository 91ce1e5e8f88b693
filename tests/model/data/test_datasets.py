import numpy as np
import pytest
from PIL import Image

from model.data.datasets import SEAM, DatasetError, list_pictures, load_clean, load_side_by_side
from model.data.layouts import load_pairs


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def test_pairs_are_matched_by_name_whatever_their_format(tmp_path):
    write(tmp_path / "input" / "a.png", noise(20, 30))
    write(tmp_path / "target" / "a.bmp", noise(20, 30, 1))
    (pair,) = load_pairs(tmp_path)
    assert pair.name == "a"
    assert np.array_equal(pair.degraded, noise(20, 30))
    assert np.array_equal(pair.clean, noise(20, 30, 1))


def test_every_bad_file_is_named_with_its_reason(tmp_path):
    for name, size in (("fits", (20, 30)), ("differs", (20, 31)), ("alone", (20, 30)), ("broken", (20, 30))):
        write(tmp_path / "input" / f"{name}.png", noise(*size))
        if name != "alone":
            write(tmp_path / "target" / f"{name}.png", noise(20, 30))
    (tmp_path / "input" / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(DatasetError) as caught:
        load_pairs(tmp_path)
    message = str(caught.value)
    assert message.startswith("3 of 4")
    assert "differs.png: input is (20, 31), target is (20, 30)" in message
    assert "alone.png: has no target" in message
    assert "broken.png: cannot identify" in message
    assert "fits" not in message


def test_pairs_too_small_to_score_are_named(tmp_path):
    for half in ("input", "target"):
        write(tmp_path / half / "small.png", noise(10, 200))
    with pytest.raises(DatasetError, match=r"small\.png: has a side under 11 pixels"):
        load_pairs(tmp_path, min_side=11)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="holds no pictures"):
        list_pictures(tmp_path)


@pytest.mark.parametrize("width", [200, 201])
def test_side_by_side_halves_show_the_same_place(tmp_path, width):
    """Both halves hold one picture here, so both must come out alike, without the columns at the seam."""
    half = noise(40, 100)
    both = np.concatenate([half, half, noise(40, width - 200)], axis=1)
    write(tmp_path / "1.png", both)
    (pair,) = load_side_by_side(tmp_path)
    assert np.array_equal(pair.clean, pair.degraded)
    assert np.array_equal(pair.clean, half[:, SEAM:-SEAM])


def test_take_splits_a_folder_in_two(tmp_path):
    for index in range(7):
        write(tmp_path / f"{index}.png", noise(8, 8))
    held = [path.stem for path in list_pictures(tmp_path, "2/3")]
    kept = [path.stem for path in list_pictures(tmp_path, "-2/3")]
    assert held == ["1", "4"]
    assert sorted(held + kept) == [str(index) for index in range(7)]
    for wrong in ("0/3", "4/3", "half", "-3"):
        with pytest.raises(ValueError, match="it must be all, K/N or -K/N"):
            list_pictures(tmp_path, wrong)


def test_clean_photos_can_be_left_out_by_name(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.png", noise(8, 8))
    assert [pair.name for pair in load_clean(tmp_path, exclude=["b"])] == ["a", "c"]
