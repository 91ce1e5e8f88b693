"""Training on a card: `pytest -m gpu`. Elsewhere it is skipped."""

import dataclasses

import numpy as np
import pytest
import torch

from model.checkpoints.checkpoint import load_checkpoint
from model.data.datasets import Pair
from model.data.mixture import Mixture, Source
from model.data.rain import add_rain, sample_rain
from model.network.config import DMSRConfig
from model.training.recipe import Optimiser, Phase, Recipe
from model.training.trainer import Trainer
from tests.pictures import drawn

pytestmark = pytest.mark.gpu


def trained(folder, steps, kind="muon", stop=None):
    photos = [Pair(str(seed), drawn(160, 160, seed), drawn(160, 160, seed)) for seed in range(3)]

    def rain(clean, rng, _):
        return add_rain(clean, sample_rain(rng), rng), clean

    recipe = Recipe(
        task="derain",
        network=DMSRConfig(16, 1),
        steps=steps,
        tile=64,
        overlap=16,
        optimiser=Optimiser(kind=kind, peak_rate=2e-3, warmup_steps=5, average_decay=0.9),
        phases=(Phase(64, 4),),
        sources=(),
        calibration_crops=8,
    )
    trainer = Trainer(recipe, Mixture([Source("photos", 1, photos, rain)], 0), {"held": photos}, folder, device="cuda")
    losses = []
    trainer.run(lambda progress: losses.append(progress.loss), lambda: trainer.counters.step == stop)
    return trainer, losses


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_a_run_learns_stops_and_goes_on(tmp_path, kind):
    """With the same losses as a run that never stopped, but for what the card's sums differ by."""
    _, whole = trained(tmp_path / "whole", 30, kind)
    trained(tmp_path / "halves", 30, kind, stop=15)
    trainer, second = trained(tmp_path / "halves", 30, kind)
    assert trainer.counters.step == 30
    assert np.mean(whole[-5:]) < np.mean(whole[:5])
    np.testing.assert_allclose(second[: 30 - 15], whole[15:30], rtol=0.1)
    network, _ = load_checkpoint(tmp_path / "halves" / "latest.safetensors")
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_a_batch_that_is_not_finite_moves_nothing(tmp_path):
    trainer, _ = trained(tmp_path, 4)
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    trainer.recipe = dataclasses.replace(trainer.recipe, steps=6)
    to_device = trainer._to_device
    trainer._to_device = lambda pictures: to_device(pictures) * float("nan")
    trainer.run(lambda _: None)
    assert trainer.counters.skipped == 2
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.named_parameters())
