import numpy as np
import pytest

from model.data.datasets import Pair
from model.data.mixture import KERNELS, Mixture, Source
from model.data.picture import resize


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


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
    expected = [resize(picture, 64, 64, kernel) for kernel in KERNELS]
    assert any(np.array_equal(squeezed, one) for whole in expected for one in (whole, whole[:, ::-1]))


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


def ramp(height, width):
    """A picture whose values tell where and how large: one level a pixel to the right, one a pixel down."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, x + y], axis=2).astype(np.uint8)


def test_zoom_resizes_both_pictures_of_a_pair_alike():
    """The slope of a ramp is one over the factor; the factors are even on a logarithmic scale."""
    picture = ramp(120, 120)
    source = Source("a", 1, [Pair("a", picture, picture)], zoom=(0.5, 3))
    factors = []
    for seed in range(400):
        degraded, clean = source.draw(40, np.random.default_rng(seed))
        assert degraded.shape == (40, 40, 3)
        assert np.array_equal(degraded, clean)
        factors.append(20 / (int(clean[20, 30, 0]) - int(clean[20, 10, 0])))
    assert 0.47 < min(factors) < 0.6
    assert 2.5 < max(factors) < 3.4
    assert np.median(factors) == pytest.approx(np.sqrt(0.5 * 3), rel=0.2)


def test_zoom_never_asks_for_more_than_the_picture_has():
    picture = noise(70, 300)
    source = Source("a", 1, [Pair("a", picture, picture)], zoom=(0.2, 0.2))
    assert source.draw(64, np.random.default_rng(0))[0].shape == (64, 64, 3)


def test_some_samples_stay_as_they_are():
    picture = noise(200, 200)
    source = Source("a", 1, [Pair("a", picture, picture)], zoom=(2, 2), zoomed=0.5)
    sharp = sum(
        np.diff(source.draw(64, np.random.default_rng(s))[1].astype(int), axis=0).std() > 95 for s in range(100)
    )
    assert 35 <= sharp <= 65


def test_what_is_degraded_on_the_fly_is_zoomed_before_or_after():
    """Before, the degrader sees the crop's size; after, the part of the picture that becomes the crop."""
    sizes = []

    def watch(clean, _rng, _place):
        sizes.append(clean.shape[0])
        return clean, clean

    picture = noise(200, 200)
    source = Source("a", 1, [Pair("a", picture, picture)], watch, zoom=(2, 2))
    for seed in range(100):
        assert source.draw(64, np.random.default_rng(seed))[0].shape == (64, 64, 3)
    assert set(sizes) == {32, 64}
    assert 35 <= sizes.count(32) <= 65


def test_grey_samples_have_no_colour_in_either_picture():
    picture = noise(100, 100)
    source = Source("a", 1, [Pair("a", 255 - picture, picture)], grey=1.0, camera=1.0)
    for one in source.draw(64, np.random.default_rng(0)):
        assert (one == one[..., :1]).all()
        assert one.std() > 10


def test_a_camera_takes_both_pictures_alike():
    picture = noise(100, 100)
    source = Source("a", 1, [Pair("a", picture, picture)], camera=1.0)
    changed = 0
    for seed in range(20):
        degraded, clean = source.draw(64, np.random.default_rng(seed))
        assert np.array_equal(degraded, clean)
        plain = Source("a", 1, source.pairs).draw(64, np.random.default_rng(seed))[1]
        changed += not np.array_equal(clean, plain)
    assert changed >= 17


def test_of_several_crops_the_one_most_like_rain_is_taken():
    """A picture with upright bars at one end and bars as strong that lie at the other."""
    bars = np.where(np.arange(64) % 8 < 3, 255, 0).astype(np.uint8)
    upright, lying = np.tile(bars, (64, 1)), np.tile(bars[:, None], (1, 64))
    scene = np.repeat(np.hstack([upright, np.full((64, 256), 90, np.uint8), lying])[..., None], 3, 2)
    pairs = [Pair("a", scene, scene)]

    def shares_with_bars(picks):
        source = Source("a", 1, pairs, picks=picks)
        crops = [source.draw(48, np.random.default_rng(seed))[1][..., 0] for seed in range(60)]
        return [np.mean([np.diff(crop.astype(int), axis=axis).any() for crop in crops]) for axis in (1, 0)]

    across, down = zip(shares_with_bars(1), shares_with_bars(6), strict=True)
    assert across[1] > across[0] + 0.3
    assert down[1] < down[0] - 0.1
