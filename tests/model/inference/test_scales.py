"""The survey and the merge, with a stand-in for the network that takes out bright lines of up to four pixels."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from model.data.rain import RainLayer, streaks
from model.inference.merge import carry_haze, carry_rain
from model.inference.scales import MOST_PASSES, check_scale, least_tiles, most_tiles, most_tiles_within, restoration
from model.inference.survey import Response, choose
from model.inference.tiling import TilePlan

TILE = 64


def plan(height, width):
    return TilePlan(height, width, TILE, 16)


def without_lines(image):
    """Open by 5 columns: every bright line narrower than that goes, what is wider stays."""
    low = Image.fromarray(image).filter(ImageFilter.Kernel((3, 3), [0, 0, 0, 0, 1, 0, 0, 0, 0]))
    pixels = np.asarray(low)
    shifted = [np.roll(pixels, by, axis=1) for by in range(-2, 3)]
    eroded = np.minimum.reduce(shifted)
    return np.maximum.reduce([np.roll(eroded, by, axis=1) for by in range(-2, 3)])


def follow(course):
    """Answer every request of a course; return its outcome, and (tiles asked for, most that may follow) of each."""
    asked, answer = [], None
    while True:
        try:
            work = course.send(answer)
        except StopIteration as end:
            return end.value, asked
        asked.append((len(work.plan), work.later))
        answer = without_lines(work.image)


def scene(height, width):
    """Draw slopes and a few dark bars: no bright lines."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    plane = 70 + 40 * np.sin(x / 61) * np.cos(y / 83)
    plane[(y // 40) % 5 == 0] *= 0.6
    return np.repeat(plane.round().astype(np.uint8)[..., None], 3, axis=2)


def rained_on(picture, *widths, coverage=0.15):
    """Draw streaks of each width in pixels, ten times as long."""
    light = np.zeros(picture.shape[:2], np.float32)
    for seed, width in enumerate(widths):
        layer = RainLayer(coverage, 10 * width, width, 0, 0.4)
        light += streaks(*picture.shape[:2], layer, np.random.default_rng(seed))
    return (picture + 255 * light[..., None]).clip(0, 255).astype(np.uint8)


def error(first, second):
    return float(np.abs(first.astype(float) - second).mean())


@pytest.mark.parametrize(("width", "least", "most"), [(2, 1, 1), (4, 0.35, 1), (8, 0.18, 0.5), (16, 0.09, 0.25)])
def test_rain_is_taken_off_at_its_own_scale(width, least, most):
    clean = scene(1100, 1200)
    rainy = rained_on(clean, width)
    outcome, _ = follow(restoration(rainy, plan, "derain"))
    assert least <= outcome.scales[0] <= most
    assert error(outcome.image, clean) < 0.5 * error(rainy, clean)


def test_rain_of_two_sizes_goes_finest_first():
    clean = scene(1100, 1200)
    rainy = rained_on(clean, 2, 16)
    outcome, _ = follow(restoration(rainy, plan, "derain"))
    assert len(outcome.scales) >= 2
    assert list(outcome.scales) == sorted(outcome.scales, reverse=True)
    single = min(error(follow(restoration(rainy, plan, "derain", at))[0].image, clean) for at in (1, 0.5, 0.25, 0.125))
    assert error(outcome.image, clean) < 0.7 * single


@pytest.mark.parametrize("size", [(50, 60), (300, 200), (900, 1000)])
def test_a_picture_without_rain_comes_back_as_it_is(size):
    clean = scene(*size)
    outcome, _ = follow(restoration(clean, plan, "derain"))
    assert outcome.scales == ()
    assert str(outcome) == "none"
    assert np.array_equal(outcome.image, clean)


def test_detail_in_one_place_is_no_rain():
    """A fence is all bright lines, but rain would be elsewhere, too."""
    clean = scene(900, 1000)
    clean[420:440, :, :] = np.where(np.arange(1000) // 3 % 3 == 0, 220, 60)[None, :, None]
    outcome, _ = follow(restoration(clean, plan, "derain"))
    assert outcome.scales == ()


def test_noise_is_no_rain():
    """The light that is removed from noise is matched by light that is added."""
    rng = np.random.default_rng(0)
    before = rng.normal(100, 9, (2, 64, 64, 3)).clip(0, 255).astype(np.uint8)
    assert not Response.measure(before, np.full_like(before, 100)).found


def test_wider_streaks_are_less_fine():
    def response(width):
        black = np.zeros((256, 256, 3), np.uint8)
        return Response.measure(rained_on(black, width)[None], black[None])

    finenesses = [response(width).fineness for width in (1.2, 2, 3, 4, 6)]
    assert finenesses == sorted(finenesses, reverse=True)
    assert response(1.5).fine
    assert not response(6).fine


FINE, WIDE, NONE = Response(2.0, 0.67, 0.0), Response(2.0, 0.1, 0.0), Response(0.0, 0.67, 0.0)
TORN, WIDEST = Response(2.0, 0.67, 0.1), Response(2.0, 0.033, 0.0)
DROPS, FEWER_DROPS = Response(4.0, 0.22, 0.0), Response(2.0, 0.4, 0.0)
DETAIL, MORE_DETAIL = Response(0.6, 0.14, 0.0), Response(0.88, 0.18, 0.0)


@pytest.mark.parametrize(
    ("responses", "octave"),
    [
        ({1: NONE, 2: NONE, 4: NONE}, None),
        ({1: FINE, 2: FINE, 4: NONE}, 1),
        ({1: WIDE, 2: WIDE, 4: FINE}, 4),
        ({1: TORN, 2: FINE, 4: NONE}, 2),
        ({1: NONE, 2: TORN, 4: NONE}, 2),
        ({1: WIDE, 2: NONE, 4: NONE}, None),  # smooth slopes of an enlarged photo, and no streaks
        ({1: NONE, 2: WIDEST, 4: WIDE}, 4),  # nothing coarser was looked at, but it becomes finer as streaks do
        ({2: WIDE}, None),
    ],
)
def test_what_is_too_large_at_a_scale_is_judged_at_the_next(responses, octave):
    assert choose(responses, coarsest=4) == octave


def test_the_only_octave_has_none_before_it():
    assert choose({1: WIDE}, coarsest=1) is None


@pytest.mark.parametrize(
    ("responses", "octave"),
    [
        ({1: DROPS, 2: FEWER_DROPS, 4: NONE}, 1),
        ({1: NONE, 2: DROPS, 4: FEWER_DROPS}, 2),
        ({1: DROPS, 2: NONE, 4: NONE}, None),  # gone at the next octave: detail
        ({1: DROPS, 2: Response(1.2, 0.2, 0.0), 4: NONE}, None),  # or nearly so
        ({1: DROPS, 2: Response(2.0, 0.67, 0.0), 4: NONE}, 2),  # as much finer as streaks are
        ({1: DROPS, 2: Response(4.0, 0.4, 0.0), 4: NONE}, 2),  # and as much goes
        ({1: DROPS, 2: FEWER_DROPS, 4: FINE}, 1),  # what the streaks are is another rain
        ({1: DROPS, 2: NONE, 4: FINE}, 4),
        ({1: FINE, 2: DROPS, 4: FEWER_DROPS}, 1),
        ({1: WIDE, 2: WIDE, 4: WIDE}, 1),  # too large everywhere
        ({1: NONE, 2: WIDE, 4: WIDE}, None),  # but only at full size: made smaller, detail is taken for it
        ({1: NONE, 2: NONE, 4: WIDE}, 4),  # nothing coarser was looked at, but far more goes than before
        ({1: NONE, 2: DETAIL, 4: MORE_DETAIL}, None),
        ({4: WIDE}, 4),  # after a pass at 2, or with nothing there
    ],
)
def test_drops_go_where_they_are_found_first(responses, octave):
    assert choose(responses, coarsest=4) == octave


@pytest.mark.parametrize("size", [(1, 1), (63, 900), (130, 200), (400, 420), (1300, 900)])
@pytest.mark.parametrize("widths", [(), (2,), (8,), (2, 6), (3, 9, 27)])
def test_never_more_tiles_than_the_header_promised(size, widths):
    """Admission counts the most; what the survey saves is given back, and the promise only falls."""
    rainy = rained_on(scene(*size), *widths)
    promised = most_tiles(*size, plan, "derain")
    outcome, asked = follow(restoration(rainy, plan, "derain"))
    done = 0
    for tiles, later in asked:
        assert done + tiles + later <= promised
        promised = done + tiles + later
        done += tiles
    assert done >= least_tiles(*size, plan, "derain")
    assert len(outcome.scales) <= MOST_PASSES


def test_the_fewest_tiles_are_those_of_a_picture_without_rain():
    for size in ((63, 900), (400, 420), (1300, 900)):
        _, asked = follow(restoration(scene(*size), plan, "derain"))
        assert least_tiles(*size, plan, "derain") <= sum(tiles for tiles, _ in asked)
    assert least_tiles(1300, 900, plan, "derain") == sum(tiles for tiles, _ in asked)
    assert least_tiles(400, 600, plan, "derain", 0.25) == len(plan(100, 150))


def test_the_promise_to_every_picture_covers_the_promise_to_one():
    for height, width in ((1, 3000), (70, 4000), (1000, 1200), (1095, 1095), (257, 4608)):
        most = most_tiles_within(1_200_000, 4608, (TILE, 16, False))
        assert most_tiles(height, width, plan, "derain") <= most
        assert most_tiles(height, width, plan, "dehaze", 1) <= most


def test_a_picture_of_few_tiles_needs_no_survey():
    rainy = rained_on(scene(100, 110), 2)
    _, asked = follow(restoration(rainy, plan, "derain"))
    assert asked == [(len(plan(100, 110)), 0)]


def test_a_given_scale_is_used_and_needs_the_tiles_of_that_size():
    rainy = rained_on(scene(400, 600), 8)
    outcome, asked = follow(restoration(rainy, plan, "derain", 0.25))
    assert outcome.scales == (0.25,)
    assert asked == [(len(plan(100, 150)), 0)]
    assert most_tiles(400, 600, plan, "derain", 0.25) == len(plan(100, 150))


def test_scale_one_is_the_network_s_own_answer():
    rainy = rained_on(scene(400, 600), 2)
    outcome, _ = follow(restoration(rainy, plan, "derain", 1))
    assert np.array_equal(outcome.image, without_lines(rainy))


def test_strength_scales_the_difference():
    rainy = rained_on(scene(100, 110), 2)
    removed = {
        strength: rainy.astype(int) - follow(restoration(rainy, plan, "derain", 1, strength))[0].image
        for strength in (0, 0.5, 1, 1.5)
    }
    assert not removed[0].any()
    assert np.abs(removed[0.5] - removed[1] / 2).max() <= 0.5
    brighter = rainy > 1.5 * removed[1]  # where more than all light would have to go, it stops at black
    assert np.abs(removed[1.5] - removed[1] * 1.5)[brighter].max() <= 0.5


@pytest.mark.parametrize(("scale", "strength"), [(0, 1), (2, 1), ("half", 1), (float("nan"), 1), (1, 2), (1, -0.1)])
def test_what_cannot_be_is_refused(scale, strength):
    with pytest.raises(ValueError, match=r"scale is|strength is"):
        check_scale(scale, strength)


def test_where_nothing_was_removed_nothing_changes():
    """However the picture was made smaller, its own detail stays."""
    picture = np.random.default_rng(0).integers(0, 256, (301, 203, 3), np.uint8)
    small = np.asarray(Image.fromarray(picture).resize((51, 75)))
    restored = small.copy()
    restored[:20] //= 2
    carried = carry_rain(picture, small, restored)
    assert np.array_equal(carried[100:], picture[100:])
    assert carried[:60].mean() < picture[:60].mean()


def test_haze_leaves_all_detail_with_the_contrast_of_the_small_picture():
    """What is a slope and an offset in the small picture is the same slope and offset in the full one."""
    clear = scene(600, 800)
    clear[::7, ::5] += 60  # finer than the small picture can show
    hazy = (clear * 0.5 + 110).round().astype(np.uint8)
    small = np.asarray(Image.fromarray(hazy).resize((200, 150), Image.Resampling.LANCZOS))
    restored = ((small - 110.0) / 0.5).clip(0, 255).round().astype(np.uint8)
    assert error(carry_haze(hazy, small, restored), clear) < 2.5


def test_haze_of_a_large_picture_is_estimated_on_a_small_one():
    outcome, asked = follow(restoration(np.zeros((2000, 3000, 3), np.uint8), plan, "dehaze"))
    assert 0.3 < outcome.scales[0] < 0.33
    assert asked[0][0] == most_tiles(2000, 3000, plan, "dehaze") < len(plan(2000, 3000)) / 8
    assert most_tiles(700, 900, plan, "dehaze") == len(plan(700, 900))
