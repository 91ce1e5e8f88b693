"""Adam and Muon at the same steps: a small network learns to take rain off drawn scenes, and both scores are printed.

The pictures are drawn here, so that the comparison needs no data. Rates are the best of few tried for each.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import report
from model.data.datasets import Pair
from model.data.drawings import draw_markings
from model.data.fields import WHOLE, Field
from model.data.mixture import Mixture, Source
from model.data.picture import Picture
from model.data.rain import add_rain, sample_rain
from model.network.config import DMSRConfig
from model.training.recipe import Optimiser, Phase, Recipe
from model.training.trainer import Trainer

SIDE, SCENES, HELD_OUT = 128, 12, 4
OPTIMISERS = {
    "adam at the paper's rate": Optimiser(peak_rate=2e-4, warmup_steps=10, average_decay=0.9),
    "adam": Optimiser(peak_rate=1e-3, warmup_steps=10, average_decay=0.9, schedule="linear"),
    "muon": Optimiser(kind="muon", peak_rate=3e-3, warmup_steps=10, average_decay=0.9, schedule="linear"),
}


def scenes() -> Iterator[Picture]:
    """Draw smooth hills of colour with hard edges and bright bars on them, uint8 (SIDE, SIDE, 3)."""
    rng = np.random.default_rng(5)
    for _ in range(SCENES + HELD_OUT):
        hills = np.stack([Field.draw(rng).over(WHOLE, SIDE, SIDE) for _ in range(3)], axis=2)
        edges = (Field.draw(rng).over(WHOLE, SIDE, SIDE) > 0.5)[..., None]
        picture = np.clip(40 + 150 * hills + 40 * edges + rng.normal(0, 3, hills.shape), 0, 255).astype(np.uint8)
        yield draw_markings(picture, rng)


def train(name: str, steps: int, seed: int) -> float:
    """Train for so many steps and return the mean Y-PSNR over the held-out scenes, in dB."""
    pairs = [Pair(str(number), picture, picture) for number, picture in enumerate(scenes())]
    rng = np.random.default_rng(1)
    held_out = [Pair(p.name, add_rain(p.clean, sample_rain(rng), rng), p.clean) for p in pairs[SCENES:]]

    def rain(clean: Picture, rng: np.random.Generator, _: object) -> tuple[Picture, Picture]:
        return add_rain(clean, sample_rain(rng), rng), clean

    recipe = Recipe(
        task="derain",
        network=DMSRConfig(width=8, depth=2),
        steps=steps,
        tile=64,
        overlap=16,
        optimiser=OPTIMISERS[name],
        phases=(Phase(crop=64, batch=4),),
        sources=(),
        seed=seed,
        calibration_crops=32,
    )
    mixture = Mixture([Source("drawn", 1, pairs[:SCENES], rain)], seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, mixture, {"held out": held_out}, Path(folder), device="cpu")
        trainer.run(lambda _: None)
        return trainer.validate()["held out"].mean.psnr_y


def main() -> None:
    """Train with each optimiser and seed, and report the scores."""
    parser = report.parser(__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    scores = {
        name: [round(train(name, options.steps, seed), 3) for seed in range(options.seeds)] for name in OPTIMISERS
    }
    means = {name: round(float(np.mean(values)), 3) for name, values in scores.items()}
    report.write("optimisers", options, {"psnr_y": means, "by_seed": scores})


if __name__ == "__main__":
    main()
