"""Draw the contact sheet of all that the training draws: rain, haze, and scenes that are to be left alone.

Run `python docs/weather.py` after changing any of it; it writes docs/weather.jpg.
"""

from pathlib import Path

import landscape
import numpy as np
from before_after import street
from PIL import Image, ImageDraw, ImageFont

from model.data.camera import Camera
from model.data.camera_rain import add_camera_rain, sample_camera_rain
from model.data.haze import add_haze, add_scene_haze, sample_haze, sample_scene_haze
from model.data.picture import Picture
from model.data.rain import add_rain, sample_downpour, sample_rain
from model.data.scenes import draw_scene

COLUMNS, WIDTH, HEIGHT = 4, 320, 240


def cells() -> list[tuple[str, Picture]]:
    """Draw all cells with their captions; seeds are chosen so that each shows what it is about."""
    lake, day = landscape.draw().picture[130:370, 600:920], street()[150:390, 80:400]

    def camera(picture: Picture, seed: int, kind: str, scale: float) -> Picture:
        rng = np.random.default_rng(seed)
        return add_camera_rain(picture, sample_camera_rain(rng, scale, kind), rng)

    def compressed(picture: Picture) -> Picture:
        camera = Camera(blur=0.5, noise=0.015, grain=0.5, sharpening=0.8, quality=60)
        return camera.take((picture,), np.random.default_rng(0))[0]

    def weather(picture: Picture, seed: int, sample, add) -> Picture:
        rng = np.random.default_rng(seed)
        return add(picture, sample(rng), rng)

    return [
        ("rain: light", weather(lake, 6, lambda rng: sample_rain(rng, 0), add_rain)),
        ("rain: heavy", weather(day, 1, lambda rng: sample_rain(rng, 1), add_rain)),
        ("rain: downpour", weather(day, 4, sample_downpour, add_rain)),
        ("camera rain: streaks of 1.5 pixels", camera(lake, 3, "streaks", 1.5)),
        ("camera rain: streaks of 6 pixels", camera(day, 35, "streaks", 6)),
        ("camera rain: dashes", camera(lake, 5, "dashes", 3)),
        ("camera rain: flakes", camera(day, 1, "flakes", 3)),
        ("camera rain: discs", camera(lake, 36, "discs", 4)),
        ("camera rain, then a camera", compressed(camera(day, 6, "streaks", 2.5))),
        ("haze: smooth depth", weather(lake, 3, sample_haze, add_haze)),
        ("haze: depth of objects", weather(day, 2, sample_scene_haze, add_scene_haze)),
        ("haze: depth of objects", weather(lake, 12, sample_scene_haze, add_scene_haze)),
        *(
            (f"scene: {kind}", draw_scene(np.random.default_rng(seed), kind, HEIGHT, WIDTH))
            for kind, seed in (
                ("facade", 3),
                ("grille", 5),
                ("railing", 1),
                ("slats", 4),
                ("letters", 1),
                ("blades", 3),
                ("mesh", 1),
                ("water", 0),
            )
        ),
    ]


def sheet() -> Image.Image:
    """Lay the cells out in rows, each under its caption."""
    drawn, line = cells(), 20
    rows = -(-len(drawn) // COLUMNS)
    image = Image.new("RGB", (COLUMNS * (WIDTH + 4) - 4, rows * (HEIGHT + line + 4)), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for index, (caption, picture) in enumerate(drawn):
        left, top = index % COLUMNS * (WIDTH + 4), index // COLUMNS * (HEIGHT + line + 4)
        pen.text((left + 2, top + 1), caption, fill="black", font=font)
        image.paste(Image.fromarray(picture), (left, top + line))
    return image


if __name__ == "__main__":
    sheet().save(Path(__file__).parent / "weather.jpg", quality=80)
