"""Make the pictures of the page's welcome: a lake drawn by code, in rain, in haze and in both, each before and after.

Run `python docs/sample.py` after the weights change; it writes app/web/pictures/{rain,haze,both}{,-restored}.jpg with
what the shipped weights make of them, and tells the distance to the clear picture. It takes a few minutes.
"""

from pathlib import Path

import landscape
import numpy as np
from PIL import Image

from model import Restorer
from model.checkpoints.catalog import Catalog
from model.data.rain import Rain, RainLayer, add_rain
from model.evaluation.metrics import luma, psnr

PICTURES = Path(__file__).parent.parent / "app" / "web" / "pictures"
SHOWER = Rain(
    layers=(
        RainLayer(coverage=0.10, length=34, width=1.7, angle=-9, strength=0.5),
        RainLayer(coverage=0.08, length=15, width=1.0, angle=-11, strength=0.38),
    ),
    veil=0.0,
    screen=False,
)
AIRLIGHT, DENSITY = np.array([222, 224, 226]), 1.5
STEPS = {"rain": ("derain",), "haze": ("dehaze",), "both": ("derain", "dehaze")}
QUALITY = 86


def haze(scene: landscape.Scene) -> np.ndarray:
    """Lay haze over a scene that grows with its true distances, I = J·t + A·(1 − t), uint8 (H, W, 3)."""
    through = np.exp(-DENSITY * scene.depth)[..., None]
    return np.clip(scene.picture * through + AIRLIGHT * (1 - through), 0, 255).astype(np.uint8)


def main() -> None:
    """Write the pictures."""
    scene = landscape.draw()
    rng = np.random.default_rng(7)
    catalog = Catalog.load()
    restorers = {task: Restorer.load(catalog.path(catalog.default(task, "cpu"))) for task in ("derain", "dehaze")}
    hazy = haze(scene)
    weather = {"rain": add_rain(scene.picture, SHOWER, rng), "haze": hazy, "both": add_rain(hazy, SHOWER, rng)}
    for name, picture in weather.items():
        path = PICTURES / f"{name}.jpg"
        Image.fromarray(picture).save(path, quality=QUALITY, optimize=True)
        before = restored = np.asarray(Image.open(path))  # as a visitor's photo comes: a JPEG
        for task in STEPS[name]:
            restored = restorers[task].restore(restored)
        Image.fromarray(restored).save(PICTURES / f"{name}-restored.jpg", quality=QUALITY, optimize=True)
        gains = [f"{psnr(luma(scene.picture), luma(seen)):.2f} dB" for seen in (before, restored)]
        print(f"{name}: {gains[0]} before, {gains[1]} after")  # noqa: T201


if __name__ == "__main__":
    main()
