"""`dmsr degrade`: clean pictures in, rainy or hazy ones out, the same for the same seed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.failure import fail


class Weather(StrEnum):
    """What to lay over a picture."""

    rain = "rain"
    haze = "haze"


def degrade(
    weather: Annotated[Weather, typer.Argument(help="rain or haze.")],
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture, or a folder of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="A folder for the PNG files.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed and file name give the same weather.")] = 0,
    heavy: Annotated[float, typer.Option(min=0, max=1, help="The chance of dense rain.")] = 0.35,
) -> None:
    """Draw rain or haze over clean pictures, to test with; the parameters stand in model/data/degradation.py."""
    import zlib

    import numpy as np

    from model.data.datasets import DatasetError, list_pictures, read_picture, write_picture
    from model.data.degradation import add_haze, add_rain, sample_haze, sample_rain

    try:
        paths = list_pictures(source) if source.is_dir() else [source]
        output.mkdir(parents=True, exist_ok=True)
    except (DatasetError, OSError) as error:
        fail(str(error))
    failures = 0
    for path in paths:
        rng = np.random.default_rng((seed, zlib.crc32(path.stem.encode())))
        try:
            picture = read_picture(path)
            if weather is Weather.rain:
                degraded = add_rain(picture, sample_rain(rng, heavy), rng)
            else:
                degraded = add_haze(picture, sample_haze(rng), rng)
            write_picture(output / f"{path.stem}.png", degraded)
        except OSError as error:
            failures += 1
            typer.echo(f"{path}: {error}", err=True)
    if failures:
        fail(f"{failures} of {len(paths)} pictures could not be degraded", code=1)
