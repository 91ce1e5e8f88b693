import numpy as np
import pytest

from model.data.datasets import Pair
from model.evaluation.stability import Stability, by_group, judge
from model.inference.scales import Outcome
from model.inference.tiling import TilePlan


def plan(height, width):
    return TilePlan(height, width, 64, 16)


def scene():
    y, x = np.mgrid[:112, :112]
    return np.repeat((110 + 30 * np.sin(x / 15) * np.cos(y / 15)).astype(np.uint8)[..., None], 3, axis=2)


def rainy():
    picture = scene().copy()
    picture[:, ::16] = 200
    return picture


def verdicts(*answers):
    """Judge restorers that answer with given pictures, over the same rainy scene; the last group is dry."""
    left = iter(answers)
    suite = [("rain", Pair(f"rain {i}", rainy(), scene())) for i in range(len(answers) - 1)]
    suite.append(("dry", Pair("dry 0", scene(), scene())))
    return judge(lambda _: Outcome(next(left), (1.0,), tiles=4), suite, plan, 42.0)


def test_a_good_restorer_has_gains_and_no_losses():
    total = Stability.of(verdicts(scene(), rainy(), scene()))
    assert (total.pictures, total.pictures_worse, total.tiles_worse, total.tiles_exploded) == (3, 0, 0, 0)
    assert total.gain > 5
    assert total.worst_gain == 0
    assert total.worst_tile == 0


def test_one_tile_of_noise_is_found_though_the_mean_gains():
    broken = scene().copy()
    broken[:40, :40] = np.random.default_rng(0).choice(np.uint8([0, 255]), (40, 40, 1))
    rain, dry = by_group(verdicts(scene(), scene(), broken, scene())).values()
    assert rain.tiles_exploded == 1
    assert rain.exploded_in == ["rain 2"]
    assert rain.worst_tile < -3
    assert rain.gain > 3
    assert (rain.worst_picture, rain.pictures_worse) == ("rain 2", 1)
    assert (dry.tiles_exploded, dry.pictures) == (0, 1)


def test_noise_that_the_runner_kept_from_the_caller_is_counted_all_the_same():
    """The tile is as good as its input, but the weights have failed."""
    kept = judge(
        lambda _: Outcome(rainy(), (1.0,), tiles=4, kept=2), [("rain", Pair("0", rainy(), scene()))], plan, 42.0
    )
    total = Stability.of(kept)
    assert (total.tiles_exploded, total.tiles_kept, total.exploded_in) == (0, 2, ["0"])


def test_rain_that_stays_or_a_scene_made_flat_has_not_exploded():
    """Wiping out detail is a loss of tiles, no explosion; a shift of brightness is one only if noise comes with it."""
    flat = np.full_like(scene(), 60)
    total = Stability.of(verdicts(rainy(), flat, scene()))
    assert total.tiles_worse == 4
    assert total.tiles_exploded == 0


def test_a_clear_picture_may_change_by_as_much_as_nobody_sees():
    """Off by one level is 48 dB on RGB and above the ceiling; off by six is below, and a loss."""
    slight, visible = verdicts(scene() + np.uint8(1)), verdicts(scene() + np.uint8(6))
    assert Stability.of(slight).worst_gain == 0
    assert Stability.of(visible).worst_gain < -5
    assert Stability.of(visible).pictures_worse == 1


def test_the_table_is_plain():
    table = Stability.of(verdicts(scene(), scene())).to_table()
    assert table["worst_picture"] in ("rain 0", "dry 0")
    assert table["gain"] == pytest.approx(table["after"] - table["before"])
