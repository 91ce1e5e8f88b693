"""Make the docs' example of a photo as large as a camera's: the lake by code, with rain, before and after.

Run `python docs/large_photo.py` after the weights change; it writes docs/large-photo.jpg and takes minutes. Above, the
whole photo before and after. Below, one place of it pixel by pixel: rainy, after one pass at full size, after `auto`.
"""

from pathlib import Path

import landscape
import numpy as np
from PIL import Image

from model import Restorer
from model.checkpoints.catalog import Catalog
from model.data.picture import through_jpeg
from model.data.rain import Rain, RainLayer, add_rain
from model.evaluation.metrics import luma, psnr

OUT = Path(__file__).parent / "large-photo.jpg"
TIMES = 4
RAIN = Rain(
    layers=(
        RainLayer(coverage=0.10, length=150, width=9, angle=-9, strength=0.5),
        RainLayer(coverage=0.06, length=80, width=6, angle=-11, strength=0.35),
    ),
    veil=0.0,
    screen=False,
)
WIDTH, GAP = 1200, 6
LEFT, TOP = 0.46, 0.30
"""Where the enlarged place begins, as parts of the photo."""


def main() -> None:
    """Write the picture and tell the distances to the clear photo."""
    clear = landscape.draw(times=TIMES, smooth=1).picture
    rainy = through_jpeg(add_rain(clear, RAIN, np.random.default_rng(7)), 92)
    catalog = Catalog.load()
    restorer = Restorer.load(catalog.path(catalog.default("derain", "cpu")))
    outcome = restorer.outcome(rainy)
    side = (WIDTH - 2 * GAP) // 3
    top, left = round(TOP * len(clear)), round(LEFT * clear.shape[1])
    place = (slice(top, top + side), slice(left, left + side))
    around = (slice(top - side, top + 2 * side), slice(left - side, left + 2 * side))
    at_full_size = restorer.restore(rainy[around], scale=1)[side : 2 * side, side : 2 * side]
    half = (WIDTH - GAP) // 2
    height = round(half * clear.shape[0] / clear.shape[1])
    sheet = Image.new("RGB", (WIDTH, height + GAP + side), "white")
    for x, photo in ((0, rainy), (half + GAP, outcome.image)):
        sheet.paste(Image.fromarray(photo).resize((half, height), Image.Resampling.LANCZOS), (x, 0))
    for number, crop in enumerate((rainy[place], at_full_size, outcome.image[place])):
        sheet.paste(Image.fromarray(crop), (number * (side + GAP), height + GAP))
    sheet.save(OUT, quality=86, optimize=True)
    gains = [psnr(luma(photo), luma(clear)) for photo in (rainy, outcome.image)]
    print(f"{gains[0]:.2f} dB before, {gains[1]:.2f} dB after at scale {outcome}")  # noqa: T201


if __name__ == "__main__":
    main()
