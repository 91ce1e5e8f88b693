import numpy as np
import pytest
from PIL import Image

from model.data.datasets import (
    SEAM,
    DatasetError,
    Mixture,
    Pair,
    Source,
    list_pictures,
    load_clean,
    load_pairs,
    load_side_by_side,
)


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


def test_pictures_too_small_to_crop_are_named(tmp_path):
    write(tmp_path / "small.png", noise(63, 200))
    with pytest.raises(DatasetError, match=r"small\.png: has a side under 64 pixels"):
        load_clean(tmp_path, min_side=64)


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


def mixture(seed=0, **shares):
    sources = []
    for index, (name, share) in enumerate(shares.items()):
        picture = noise(70, 90, index)
        sources.append(Source(name, share, [Pair(name, 255 - picture, picture)]))
    return Mixture(sources, seed)


def test_a_sample_depends_on_seed_step_and_index_alone():
    first, again = mixture(1, a=1, b=1), mixture(1, a=1, b=1)
    again.batch(3, 4, 64)
    for ours, theirs in zip(first.batch(7, 4, 64), again.batch(7, 4, 64), strict=True):
        assert np.array_equal(ours, theirs)
    assert not np.array_equal(first.batch(8, 4, 64)[0], first.batch(7, 4, 64)[0])
    assert not np.array_equal(mixture(2, a=1, b=1).batch(7, 4, 64)[0], first.batch(7, 4, 64)[0])


def test_both_pictures_of_a_sample_are_cropped_and_flipped_alike():
    degraded, clean = mixture(a=1).batch(0, 16, 64)
    assert np.array_equal(degraded, 255 - clean)


def test_samples_may_show_up_to_all_of_a_picture():
    """With shrink 1 every sample shows at least a crop, half of them the whole scene, as the degrader is told."""
    places = []

    def watch(clean, _rng, place):
        places.append(place)
        return clean, clean

    picture = noise(256, 512)
    mixture = Mixture([Source("a", 1, [Pair("a", picture, picture)], watch, shrink=1)], 0)
    assert mixture.batch(0, 90, 64)[0].shape == (90, 64, 64, 3)
    whole = sum(place == (0, 1, 0, 1) for place in places) / len(places)
    assert whole == pytest.approx(1 / 2, abs=0.12)
    assert all(bottom - top >= 0.25 and right - left >= 0.125 for top, bottom, left, right in places)
    squeezed = mixture.sample(0, next(i for i, place in enumerate(places) if place == (0, 1, 0, 1)), 64)[1]
    expected = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BILINEAR))
    assert any(np.array_equal(squeezed, one) for one in (expected, expected[:, ::-1]))


def test_crops_are_mirrored_but_never_upside_down():
    rows = np.repeat(np.arange(64, dtype=np.uint8)[:, None, None], 64, axis=1).repeat(3, axis=2)
    columns = rows.transpose(1, 0, 2)
    both = [np.stack([rows[..., 0], columns[..., 0], columns[..., 0]], axis=2)]
    degraded, _ = Mixture([Source("a", 1, [Pair("a", both[0], both[0])])], 0).batch(0, 20, 64)
    assert (degraded[:, 0, :, 0] == 0).all()
    assert {int(first) for first in degraded[:, 0, 0, 1]} == {0, 63}


def test_shares_decide_how_often_a_source_is_drawn():
    white, black = (
        Source(n, s, [Pair(n, *[np.full((64, 64, 3), v, np.uint8)] * 2)])
        for n, s, v in (("white", 3, 255), ("black", 1, 0))
    )
    drawn = [Mixture([white, black], 0).sample(0, index, 64)[0][0, 0, 0] for index in range(400)]
    assert np.mean(np.array(drawn) == 255) == pytest.approx(0.75, abs=0.06)


def test_a_source_may_degrade_on_the_fly_and_learns_where_the_crop_lies():
    places = []

    def darken(clean, _rng, place):
        places.append(place)
        return clean // 2, clean

    picture = noise(128, 64)
    degraded, clean = Mixture([Source("a", 1, [Pair("a", picture, picture)], darken)], 0).batch(0, 4, 64)
    assert np.array_equal(degraded, clean // 2)
    for top, bottom, left, right in places:
        assert (bottom - top, left, right) == (0.5, 0, 1)
