import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.checkpoints.checkpoint import WeightsError, load_checkpoint
from model.data.datasets import Pair
from model.data.mixture import Mixture, Source
from model.data.rain import add_rain, sample_rain
from model.data.sources import SourceSpec
from model.network.config import DMSRConfig
from model.training.recipe import Optimiser, Phase, Recipe
from model.training.trainer import MOST_SKIPS_IN_A_ROW, Trainer


@pytest.fixture(scope="module")
def recipe():
    return Recipe(
        task="derain",
        network=DMSRConfig(width=4, depth=1),
        steps=6,
        tile=64,
        overlap=16,
        optimiser=Optimiser(peak_rate=2e-3, warmup_steps=2, average_decay=0.9),
        phases=(Phase(64, 2, 0.5), Phase(80, 1)),
        sources=(SourceSpec("rain", ("photos",), share=1.0),),
        calibration_crops=4,
    )


@pytest.fixture(scope="module")
def photos():
    """Two smooth pictures: hills of colour, easy to clear of rain."""
    y, x = np.mgrid[:96, :96] / 96
    waves = [np.stack([np.sin(3 * x + k), np.cos(2 * y + k), np.sin(x + y)], axis=2) for k in range(2)]
    return [Pair(str(k), *[(110 + 60 * wave).astype(np.uint8)] * 2) for k, wave in enumerate(waves)]


@pytest.fixture(scope="module")
def mixture(photos):
    def rain(clean, rng, _place):
        return add_rain(clean, sample_rain(rng, heavy=1), rng), clean

    return Mixture([Source("rain", 1, photos, rain)], seed=0)


def run(recipe, mixture, folder, stop_at=None, **kwargs):
    trainer = Trainer(recipe, mixture, {}, folder, device="cpu", precision="fp32", **kwargs)
    trainer.run(lambda _: None, lambda: trainer.counters.step == stop_at)
    return trainer


@pytest.mark.parametrize("stops", [(2,), (5,), (2, 5)], ids=str)
@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(recipe, mixture, tmp_path, kind, stops):
    """Through a change of phase and the freezing of statistics: weights, BatchNorm, average, every moment, and what
    would be shipped."""
    optimiser = dataclasses.replace(recipe.optimiser, kind=kind, schedule="linear")
    recipe = dataclasses.replace(recipe, optimiser=optimiser, freeze_statistics=0.6)
    run(recipe, mixture, tmp_path / "whole")
    for stop in stops:
        run(recipe, mixture, tmp_path / "parts", stop_at=stop)
    assert not (tmp_path / "parts" / "latest.safetensors").exists()
    resumed = run(recipe, mixture, tmp_path / "parts")
    assert resumed.counters.step == 6
    for name in ("state", "latest"):
        tensors = []
        for folder in ("whole", "parts"):
            tensors.append(load_file(tmp_path / folder / f"{name}.safetensors"))
        assert tensors[0].keys() == tensors[1].keys()
        for key, value in tensors[0].items():
            assert torch.equal(value, tensors[1][key]), key


def test_a_finished_run_is_only_validated_again(recipe, mixture, tmp_path):
    """So that a run stopped during its last validation still gets its weights."""
    run(recipe, mixture, tmp_path)
    (tmp_path / "latest.safetensors").unlink()
    reported = []
    trainer = Trainer(recipe, mixture, {}, tmp_path, device="cpu", precision="fp32")
    trainer.run(reported.append)
    assert [(progress.counters.step, progress.fraction) for progress in reported] == [(6, 1.0)]
    assert (tmp_path / "latest.safetensors").exists()


def test_a_state_of_another_recipe_is_refused(recipe, mixture, tmp_path):
    run(recipe, mixture, tmp_path, stop_at=0)
    with pytest.raises(WeightsError, match="belongs to another recipe"):
        run(dataclasses.replace(recipe, steps=7), mixture, tmp_path)


def test_a_damaged_state_is_refused_by_name(recipe, mixture, tmp_path):
    run(recipe, mixture, tmp_path, stop_at=0)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"state\.safetensors is not a training state"):
        run(recipe, mixture, tmp_path)


def test_training_goes_on_from_given_weights(recipe, mixture, tmp_path, tiny_weights):
    trainer = Trainer(recipe, mixture, {}, tmp_path, device="cpu", init=tiny_weights)
    for key, value in load_checkpoint(tiny_weights)[0].state_dict().items():
        assert torch.equal(trainer.network.state_dict()[key], value), key


def test_without_calibration_the_statistics_of_the_given_weights_are_kept(recipe, mixture, tmp_path, tiny_weights):
    """In training, in what is validated and shipped, and across a stop; all other tensors learn."""
    kept = dataclasses.replace(recipe, calibration_crops=0)
    run(kept, mixture, tmp_path, stop_at=2, init=tiny_weights)
    run(kept, mixture, tmp_path)
    before, after = (load_file(path) for path in (tiny_weights, tmp_path / "latest.safetensors"))
    statistics = {key for key in before if "running" in key or "num_batches" in key}
    assert statistics
    assert {key for key in before if torch.equal(before[key], after[key])} == statistics


def test_without_calibration_there_must_be_weights_to_begin_from(recipe, mixture, tmp_path):
    with pytest.raises(ValueError, match="name some with --init"):
        run(dataclasses.replace(recipe, calibration_crops=0), mixture, tmp_path)


def test_from_the_freezing_on_statistics_stay_and_belong_to_the_averaged_weights(recipe, mixture, tmp_path):
    frozen = dataclasses.replace(recipe, freeze_statistics=0.5)
    at_the_freezing = run(frozen, mixture, tmp_path, stop_at=4)
    assert at_the_freezing.counters.frozen
    assert not at_the_freezing.network.training
    statistics = {k: v.clone() for k, v in at_the_freezing.network.state_dict().items() if "running" in k}
    run(frozen, mixture, tmp_path)
    shipped = load_file(tmp_path / "latest.safetensors")
    assert statistics
    assert all(torch.equal(value, shipped[key]) for key, value in statistics.items())
    before = run(recipe, mixture, tmp_path / "never", stop_at=4)
    assert before.network.training


def test_progress_is_a_line_a_step_and_lost_steps_are_taken_back(recipe, mixture, photos, tmp_path):
    """A run killed after its last save goes on from there, and its file says so once."""
    trainer = Trainer(recipe, mixture, {"held": photos}, tmp_path, device="cpu", precision="fp32")
    trainer.run(lambda _: None, lambda: trainer.counters.step == 3)
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"step": 4, "loss": 9}\n{"step": 5, "lo')
    trainer = Trainer(recipe, mixture, {"held": photos}, tmp_path, device="cpu", precision="fp32")
    trainer.run(lambda _: None)
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert all(line["loss"] < 9 and line["rate"] > 0 for line in lines if "loss" in line)
    assert lines[-1]["step"] == 6
    assert lines[-1]["scores"]["held"].keys() == {"psnr_y", "input_psnr_y", "worse"}


def test_the_weights_say_how_they_are_to_be_tiled(recipe, mixture, tmp_path):
    run(dataclasses.replace(recipe, steps=1, overview=True), mixture, tmp_path)
    info = load_checkpoint(tmp_path / "latest.safetensors")[1]
    assert (info.tile, info.overlap, info.overview) == (64, 16, True)


def test_steps_that_are_not_finite_are_skipped_and_counted(recipe, mixture, tmp_path, monkeypatch):
    trainer = Trainer(recipe, mixture, {}, tmp_path, device="cpu", precision="fp32")
    before = {key: value.clone() for key, value in trainer.average.values.items()}
    to_device = trainer._to_device
    monkeypatch.setattr(trainer, "_to_device", lambda pictures: to_device(pictures) * float("nan"))
    trainer.run(lambda _: None, lambda: trainer.counters.step == 2)
    assert trainer.counters.skipped == 2
    assert all(torch.equal(trainer.average.values[key], value) for key, value in before.items())


def test_a_run_that_only_skips_ends_with_an_error(recipe, mixture, tmp_path, monkeypatch):
    trainer = Trainer(dataclasses.replace(recipe, steps=1000), mixture, {}, tmp_path, device="cpu")
    monkeypatch.setattr(trainer, "_step", lambda *_: (float("nan"), False))
    with pytest.raises(FloatingPointError, match=f"{MOST_SKIPS_IN_A_ROW + 1} steps in a row"):
        trainer.run(lambda _: None)


def test_a_run_by_wall_time_ends_by_the_clock(recipe, mixture, tmp_path):
    trainer = run(dataclasses.replace(recipe, steps=10**9), mixture, tmp_path, minutes=0.01)
    assert trainer.counters.step >= 1
    assert trainer.counters.elapsed_seconds >= 0.6


def test_a_real_run_clears_rain(recipe, mixture, photos, tmp_path):
    """Real trainer, real rain, a tiny network, 40 steps: the validation PSNR rises, and over the input's."""
    rng = np.random.default_rng(1)
    held = [Pair(photo.name, add_rain(photo.clean, sample_rain(rng, heavy=1), rng), photo.clean) for photo in photos]
    reports = []
    fast = Optimiser(peak_rate=1e-2, warmup_steps=5, average_decay=0.9)
    longer = dataclasses.replace(recipe, steps=40, phases=(Phase(64, 2),), optimiser=fast)
    trainer = Trainer(longer, mixture, {"held": held}, tmp_path, device="cpu", precision="fp32")
    first = trainer.validate()["held"].mean
    trainer.run(lambda progress: reports.append(progress.reports) if progress.reports else None)
    last = reports[-1]["held"].mean
    assert last.psnr_y > first.psnr_y + 2
    assert last.psnr_y > last.input_psnr_y
    _, info = load_checkpoint(tmp_path / "best.safetensors")
    assert info.scores == {"held": pytest.approx(last.psnr_y, abs=1e-3)}
    assert info.training["step"] == 40
