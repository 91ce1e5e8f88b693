"""How many pictures a second a device makes, and how many devices a target takes, from measured tiles a second.

Without --rate: the table of docs/scaling.md, from results in benchmarks/results. With it: the same for your own
device, whose rate dmsr_capacity_tiles_per_second tells.
"""

import argparse
import json
import math

from benchmarks.report import FOLDER
from model.tiling import TilePlan

SIZES = ((256, 256), (720, 1280), (1080, 1920), (3000, 4000), (4000, 6000))
LOAD = 0.7
"""The share of capacity to plan with: at 0.7 a picture waits about as long as it takes, at 0.9 four times as long."""
TARGET = 1.0
RESULTS = ("scale-out-w16d4", "scale-out-w48d16")


def tiles(height: int, width: int, tile: int = 128, overlap: int = 16) -> int:
    """Count a picture's tiles."""
    return len(TilePlan(height, width, tile, overlap))


def devices(pictures_per_second: float, tiles_each: int, rate: float) -> int:
    """Count the devices of so many tiles per second that a target takes, none busier than LOAD."""
    return math.ceil(pictures_per_second * tiles_each / (LOAD * rate))


def rows(name: str, rate: float) -> list[str]:
    """Write a device's rows of the table, one for each size."""
    lines = []
    for height, width in SIZES:
        each = tiles(height, width)
        cells = (name, f"{width}×{height}", each, f"{rate / each:.3g}", f"{each / rate:.3g}")
        lines.append("| " + " | ".join(map(str, (*cells, devices(TARGET, each, rate)))) + " |")
    return lines


def measured() -> list[tuple[str, float]]:
    """List the devices of the results with their tiles per second."""
    found = []
    for name in RESULTS:
        result = json.loads((FOLDER / f"{name}.json").read_text())
        network = name.removeprefix("scale-out-")
        found += [
            (f"{network}, {cores} {result['machine']['cpu']} core{'s' * (cores > 1)}, {result['precision']}", rate)
            for cores, rate in ((int(number), rate) for number, rate in result["tiles_per_second"].items())
        ]
    return found


def table(rates: list[tuple[str, float]]) -> str:
    """Write the table in Markdown."""
    head = [
        f"| network and device | picture | tiles | pictures/s | s/picture | devices for {TARGET:g}/s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join(head + [line for name, rate in rates for line in rows(name, rate)]) + "\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, help="tiles per second of a device of yours")
    parser.add_argument("--name", default="yours")
    options = parser.parse_args()
    print(table([(options.name, options.rate)] if options.rate else measured()), end="")  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
