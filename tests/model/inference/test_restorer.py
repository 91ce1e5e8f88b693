import numpy as np
import pytest
from PIL import Image

from model import Restorer
from model.checkpoints.checkpoint import WeightsError
from tests.pictures import drawn


@pytest.fixture(scope="module")
def restorer(tiny_weights):
    return Restorer.load(tiny_weights, device="cpu")


@pytest.mark.parametrize("size", [(1, 1), (63, 200), (64, 64), (65, 130), (7, 300)])
@pytest.mark.parametrize("tiling", ["blend", "reference"])
def test_the_size_never_changes(tiny_weights, size, tiling):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    restored = Restorer.load(tiny_weights, device="cpu", tiling=tiling).restore(image)
    assert restored.shape == image.shape
    assert restored.dtype == np.uint8


def test_the_input_is_left_alone(restorer):
    image = np.full((70, 70, 3), 9, np.uint8)
    image.flags.writeable = False
    restorer.restore(image)
    assert (image == 9).all()


def test_a_pil_image_is_as_good_as_an_array(restorer):
    image = np.random.default_rng(0).integers(0, 256, (70, 80, 3), np.uint8)
    assert np.array_equal(restorer.restore(Image.fromarray(image)), restorer.restore(image))
    with pytest.raises(ValueError, match="must be uint8 of shape"):
        restorer.restore(Image.fromarray(image).convert("L"))


def test_progress_counts_tiles_to_the_end(restorer):
    seen = []
    black = np.zeros((150, 150, 3), np.uint8)
    restorer.restore(black, lambda done, total: seen.append((done, total)), scale=1)
    assert seen[-1] == (9, 9)
    assert seen == sorted(seen)
    restorer.restore(black, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)  # a window of the picture at half its size shows no rain either


@pytest.mark.parametrize("array", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3))])
def test_other_arrays_are_refused(restorer, array):
    with pytest.raises(ValueError, match="must be uint8"):
        restorer.restore(array)


def test_the_reference_protocol_is_fp32_at_128(tiny_weights):
    restorer = Restorer.load(tiny_weights, tiling="reference")
    assert restorer.runner.precision == "fp32"
    assert restorer.plan(300, 300).tile == 128
    assert restorer.plan(300, 300).overlap == 0


def test_blend_uses_the_weights_own_tile(restorer):
    assert (restorer.plan(300, 300).tile, restorer.plan(300, 300).overlap) == (64, 16)


def test_an_unknown_tiling_is_named(tiny_weights):
    with pytest.raises(ValueError, match="mosaic"):
        Restorer.load(tiny_weights, tiling="mosaic")


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        Restorer.load(tmp_path / "none.safetensors")


def test_the_reference_protocol_is_always_scale_one(tiny_weights):
    restorer = Restorer.load(tiny_weights, device="cpu", tiling="reference")
    image = np.random.default_rng(0).integers(0, 256, (300, 310, 3), np.uint8)
    outcome = restorer.outcome(image)
    assert outcome.scales == (1,)
    assert np.array_equal(outcome.image, restorer.restore(image, scale=1))
    with pytest.raises(ValueError, match=r"scale is 0\.5"):
        restorer.restore(image, scale=0.5)


def test_a_scale_and_a_strength_that_cannot_be_are_named(restorer):
    image = np.zeros((70, 70, 3), np.uint8)
    with pytest.raises(ValueError, match="scale is 3"):
        restorer.restore(image, scale=3)
    with pytest.raises(ValueError, match="strength is 2"):
        restorer.restore(image, strength=2)


def test_a_given_scale_is_told(restorer):
    image = np.random.default_rng(0).integers(0, 256, (300, 310, 3), np.uint8)
    seen = []
    outcome = restorer.outcome(image, lambda done, total: seen.append((done, total)), scale=0.25, strength=0.5)
    assert (outcome.scales, str(outcome)) == ((0.25,), "0.25")
    assert seen[-1] == (4, 4)


def test_tiles_that_come_out_as_noise_stay_as_they_were_and_are_counted(noisy_weights):
    image = drawn(100, 150)
    image[:, :64] = 127  # a flat tile comes out flat, which may be right
    outcome = Restorer.load(noisy_weights, device="cpu").outcome(image, scale=1)
    assert (outcome.tiles, outcome.kept) == (6, 4)
    assert np.array_equal(outcome.image[:, 80:], image[:, 80:])
    assert not np.array_equal(outcome.image[:, :48], image[:, :48])
