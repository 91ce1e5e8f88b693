import numpy as np
import pytest
from PIL import Image

from model.data.suite import HEIGHT, HELD_OUT, WIDTH, build_suite, list_groups


@pytest.fixture(scope="module")
def photos():
    y, x = np.mgrid[:300, :400].astype(np.float32)
    waves = [120 + 90 * np.sin(x / (9 + channel)) * np.cos(y / 11) for channel in range(3)]
    return [np.stack(waves, axis=2).astype(np.uint8), np.full((512, 330, 3), 90, np.uint8)]


@pytest.mark.parametrize("task", ["derain", "dehaze"])
def test_there_are_some_three_hundred_pictures_of_every_kind(task, photos):
    groups = list_groups(task, photos)
    assert 280 <= sum(group.count for group in groups) <= 330
    names = " ".join(group.name for group in groups)
    for word in ("photos", "compressed", "grey", "stark", "drawn", "sky", "night", "enlarged", "tiny"):
        assert word in names


@pytest.mark.parametrize("task", ["derain", "dehaze"])
def test_every_group_draws_pairs_and_the_same_ones_again(task, photos):
    again = {group.name: group for group in list_groups(task, photos)}
    for group in list_groups(task, photos):
        pair, other = group.draw(0), group.draw(1)
        dry = np.array_equal(pair.degraded, pair.clean)
        assert dry == (group.name.split(",")[0] in ("photos", "stark", "drawn", "fog") and ", in " not in group.name)
        assert pair.clean.shape == (HEIGHT, WIDTH, 3) or "tiny" in group.name
        assert np.array_equal(pair.degraded, again[group.name].draw(0).degraded)
        assert pair.degraded.shape != other.degraded.shape or not np.array_equal(pair.degraded, other.degraded)
        assert pair.name == f"{group.name} 0"


def test_the_suite_takes_what_recipes_hold_out(tmp_path):
    """Every folder is asked for its part: of ten pictures the first, but all of Kodak24."""
    for folder, take in HELD_OUT.items():
        (tmp_path / folder).mkdir(parents=True)
        for index in range(2):
            level = 60 if take == "all" or index == 0 else 250
            Image.fromarray(np.full((300, 400, 3), level, np.uint8)).save(tmp_path / folder / f"{index}.png")
    suite = build_suite(tmp_path, "derain")
    for _ in range(8):
        group, pair = next(suite)
        assert group == "photos"
        assert (pair.clean == 60).all()


def test_another_task_is_told(photos):
    with pytest.raises(ValueError, match="task is 'deblur'"):
        list_groups("deblur", photos)
