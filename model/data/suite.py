"""Some 300 pictures of every kind to judge weights by: all drawn, or degraded by code from photos held out of training.

Knows nothing of the network. A mean over twelve photos does not show a sky that comes back as noise in one picture of
ten, nor a grille wiped out as rain: this set has skies, night, fog, snow, water, letters, drawings, portraits,
railings, compressed, tiny and stark pictures, dry and in rain of every kind. The same data gives the same pictures.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from model.data.camera import Camera, sample_camera
from model.data.camera_rain import KINDS, add_camera_rain, sample_camera_rain
from model.data.datasets import Pair, load_clean
from model.data.fields import WHOLE
from model.data.haze import add_haze, add_scene_haze, sample_haze, sample_scene_haze
from model.data.mixture import random_box
from model.data.picture import Picture, quantise, resize, starken, to_float, without_colour
from model.data.rain import add_rain, sample_rain
from model.data.scenes import SCENES, draw_scene

SEED = 300

HEIGHT, WIDTH = 256, 320
"""Two by three tiles: seams are judged, too, and 300 pictures take minutes."""

HELD_OUT = {
    "clean/Kodak24": "all",
    "clean/Urban100": "1/10",
    "clean/SunHays80": "1/10",
    "clean/permissive": "1/10",
}
"""What the recipes leave out, by folder."""

Scene = Callable[[np.random.Generator, int], Picture]
"""Make the clean picture number so and so of a group."""

Weather = Callable[[Picture, np.random.Generator], tuple[Picture, Picture]]
"""Make (degraded, clean) of it."""


@dataclass(frozen=True)
class Group:
    """Name so many pictures of one kind."""

    name: str
    count: int
    scene: Scene
    weather: Weather

    def draw(self, index: int) -> Pair:
        """Make one of the pictures; it depends on the group's name and the index alone."""
        rng = np.random.default_rng((SEED, zlib.crc32(self.name.encode()), index))
        return Pair(f"{self.name} {index}", *self.weather(self.scene(rng, index), rng))


def build_suite(data: Path, task: str) -> Iterator[tuple[str, Pair]]:
    """Make the pictures of a task one by one, each with its group's name; raises DatasetError, ValueError."""
    photos = [pair.clean for folder, take in HELD_OUT.items() for pair in load_clean(data / folder, take)]
    for group in list_groups(task, photos):
        for index in range(group.count):
            yield group.name, group.draw(index)


def list_groups(task: str, photos: list[Picture]) -> list[Group]:
    """List the groups of a task, derain or dehaze, over clean photos; raises ValueError for another."""
    if task not in ("derain", "dehaze"):
        raise ValueError(f"task is {task!r}; there is a suite for derain and for dehaze")
    return (_rain_groups if task == "derain" else _haze_groups)(photos)


def _rain_groups(photos: list[Picture]) -> list[Group]:
    photo = partial(_photo, photos)
    return [
        *_dry_groups(photos),
        Group("fog", 10, lambda rng, i: add_haze(photo(rng, i), sample_haze(rng), rng), _leave),
        Group("drawn, in rain", 26, _drawn, _any_rain),
        Group("sky, in rain", 24, lambda rng, _: draw_scene(rng, "sky", HEIGHT, WIDTH), _any_rain),
        Group("night, in rain", 12, partial(_night, photos), _any_rain),
        Group("light rain", 20, photo, lambda clean, rng: (add_rain(clean, sample_rain(rng, 0), rng), clean)),
        Group("heavy rain", 20, photo, lambda clean, rng: (add_rain(clean, sample_rain(rng, 1), rng), clean)),
        Group("rain, enlarged", 16, photo, partial(_enlarged, _any_rain)),
        Group("rain, compressed", 12, photo, partial(_compressed, _any_rain)),
        *(Group(f"camera: {kind}", 11, photo, partial(_camera_rain, kind)) for kind in KINDS),
        Group("two rains at once", 8, photo, _two_rains),
        Group("stark, in rain", 6, partial(_stark, photos), _any_rain),
        Group("tiny, in rain", 12, partial(_tiny, photos), _any_rain),
    ]


def _haze_groups(photos: list[Picture]) -> list[Group]:
    photo = partial(_photo, photos)
    return [
        *_dry_groups(photos),
        Group("haze", 40, photo, lambda clean, rng: (add_haze(clean, sample_haze(rng), rng), clean)),
        Group("haze before objects", 40, photo, _haze),
        Group("drawn, in haze", 26, _drawn, _haze),
        Group("sky, in haze", 16, lambda rng, _: draw_scene(rng, "sky", HEIGHT, WIDTH), _haze),
        Group("night, in haze", 12, partial(_night, photos), _haze),
        Group("haze, enlarged", 16, photo, partial(_enlarged, _haze)),
        Group("haze, compressed", 20, photo, partial(_compressed, _haze)),
        Group("haze, grey", 12, lambda rng, i: without_colour(photo(rng, i)), _grey_haze),
        Group("stark, in haze", 6, partial(_stark, photos), _haze),
        Group("tiny, in haze", 12, partial(_tiny, photos), _haze),
    ]


def _dry_groups(photos: list[Picture]) -> list[Group]:
    """List what any task must leave alone."""
    photo = partial(_photo, photos)
    return [
        Group("photos", 32, photo, _leave),
        Group("photos, compressed", 16, photo, partial(_compressed, _leave)),
        Group("photos, grey", 8, lambda rng, i: without_colour(photo(rng, i)), _leave),
        Group("stark", 8, partial(_stark, photos), _leave),
        Group("drawn", 39, _drawn, _leave),
    ]


def _photo(photos: list[Picture], rng: np.random.Generator, index: int) -> Picture:
    # The photos in turn, each at a scale of its own: as much of it as is there, or half of that.
    picture = photos[index * 7 % len(photos)]
    reach = min(rng.uniform(1, 2), picture.shape[0] / HEIGHT, picture.shape[1] / WIDTH)
    box, _ = random_box(picture, (int(HEIGHT * reach), int(WIDTH * reach)), rng)
    return resize(picture[box], HEIGHT, WIDTH)


def _drawn(rng: np.random.Generator, index: int) -> Picture:
    return draw_scene(rng, list(SCENES)[index % len(SCENES)], HEIGHT, WIDTH)


def _night(photos: list[Picture], rng: np.random.Generator, index: int) -> Picture:
    if index % 2:
        return draw_scene(rng, "night", HEIGHT, WIDTH)
    light = to_float(_photo(photos, rng, index)) ** rng.uniform(1.5, 2.5) * rng.uniform(0.2, 0.5)
    noisy = Camera(noise=0.02, grain=0.5).take((quantise(light * np.array([0.85, 0.95, 1.1], np.float32)),), rng)
    return noisy[0]


def _stark(photos: list[Picture], rng: np.random.Generator, index: int) -> Picture:
    return starken(_photo(photos, rng, index), rng)


def _tiny(photos: list[Picture], rng: np.random.Generator, index: int) -> Picture:
    height, width = (int(side) for side in rng.integers(16, 100, 2))
    return resize(_photo(photos, rng, index), height, width)


def _leave(clean: Picture, _: np.random.Generator) -> tuple[Picture, Picture]:
    return clean, clean


def _any_rain(clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    if rng.random() < 0.5:
        return add_rain(clean, sample_rain(rng), rng), clean
    return add_camera_rain(clean, sample_camera_rain(rng), rng), clean


def _camera_rain(kind: str, clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    rainy = add_camera_rain(clean, sample_camera_rain(rng, kind=kind), rng)
    degraded, clean = sample_camera(rng).take((rainy, clean), rng)
    return degraded, clean


def _two_rains(clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    far = add_camera_rain(clean, sample_camera_rain(rng, 1.5, "streaks"), rng)
    return add_camera_rain(far, sample_camera_rain(rng, 12, "streaks"), rng), clean


def _haze(clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    return add_scene_haze(clean, sample_scene_haze(rng), rng, WHOLE), clean


def _grey_haze(clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    return without_colour(_haze(clean, rng)[0]), clean


def _enlarged(weather: Weather, clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    factor = rng.uniform(1.5, 3)
    box, _ = random_box(clean, (int(HEIGHT / factor), int(WIDTH / factor)), rng)
    degraded, clean = (resize(picture, HEIGHT, WIDTH) for picture in weather(clean[box], rng))
    return degraded, clean


def _compressed(weather: Weather, clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    camera = Camera(quality=int(rng.integers(40, 90)))
    degraded, clean = camera.take(weather(clean, rng), rng)
    return degraded, clean
