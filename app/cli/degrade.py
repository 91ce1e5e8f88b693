"""`dmsr degrade`: clean pictures in, rainy or hazy ones out, the same for the same seed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.failure import fail
from app.cli.targets import TargetError, check_targets


class Weather(StrEnum):
    """What to lay over a picture."""

    rain = "rain"
    downpour = "downpour"
    camera_rain = "camera-rain"
    haze = "haze"
    scene_haze = "scene-haze"


def degrade(
    weather: Annotated[
        Weather,
        typer.Argument(
            help="rain as benchmarks draw it, downpour as the heavy ones do, camera-rain as cameras see it, haze, "
            "or scene-haze before objects."
        ),
    ],
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture, or a folder of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="A folder for the PNG files.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed and file name give the same weather.")] = 0,
    heavy: Annotated[float, typer.Option(min=0, max=1, help="The chance of dense rain; for rain.")] = 0.35,
    scale: Annotated[
        list[float] | None,
        typer.Option(
            min=0.5, max=200, help="Width of the common drops in pixels, for camera-rain; several for several rains."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Send both through a camera (lens, noise, JPEG), for camera-rain, and write the dry picture here.",
        ),
    ] = None,
) -> None:
    """Draw rain or haze over clean pictures, to test with; the parameters stand in model/data.

    The clean pictures are the target, but for camera-rain with --target: what JPEG and noise change is no rain.
    """
    from model.data.camera import sample_camera
    from model.data.camera_rain import add_camera_rain, sample_camera_rain
    from model.data.datasets import DatasetError, list_pictures
    from model.data.fields import WHOLE
    from model.data.picture import picture_rng, read_picture, write_picture
    from model.data.sources import degradation

    if (scale or target) and weather is not Weather.camera_rain:
        fail("--scale and --target belong to camera-rain")

    try:
        paths = list_pictures(source) if source.is_dir() else [source]
        drawn = [(path, output / f"{path.stem}.png") for path in paths]
        dry = [(path, target / f"{path.stem}.png") for path in paths] if target else []
        if target and target.resolve() == output.resolve():
            fail("--output and --target are one folder; the dry pictures need their own")
        for pairs in (drawn, dry):
            check_targets(pairs, overwrite)
        for folder in (output, target or output):
            folder.mkdir(parents=True, exist_ok=True)
    except (DatasetError, TargetError, OSError) as error:
        fail(str(error))
    failures = 0
    for path in paths:
        rng = picture_rng(seed, path.stem)
        try:
            picture = read_picture(path)
            if weather is Weather.camera_rain:
                degraded = picture
                for width in scale or (None,):
                    degraded = add_camera_rain(degraded, sample_camera_rain(rng, width), rng)
                if target:
                    degraded, clean = sample_camera(rng).take((degraded, picture), rng)
                    write_picture(target / f"{path.stem}.png", clean)
            else:
                degraded, _ = degradation(weather.name, heavy)(picture, rng, WHOLE)
            write_picture(output / f"{path.stem}.png", degraded)
        except OSError as error:
            failures += 1
            typer.echo(f"{path}: {error}", err=True)
    if failures:
        fail(f"{failures} of {len(paths)} pictures could not be degraded", code=1)
