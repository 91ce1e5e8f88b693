"""How many pictures a second a device makes, and how many devices a target takes, from measured tiles a second.

Writes the table into docs/scaling.md, from the results of benchmarks.scale_out; with --rate it prints the same for a
device of yours, whose rate dmsr_capacity_tiles_per_second tells.
"""

import argparse
import json
import math
import re

from benchmarks.report import FOLDER
from model.checkpoints.catalog import Catalog
from model.inference.tiling import TilePlan

SIZES = ((256, 256), (720, 1280), (1080, 1920), (3000, 4000), (4000, 6000))
LOAD = 0.7
"""The share of capacity to plan with: at 0.7 a picture waits about as long as it takes, at 0.9 four times as long."""
TARGET = 1.0
BUSY = 0.9
"""The share of a core below which a restorer was not alone on it."""
PAGE = FOLDER.parents[1] / "docs" / "scaling.md"


def devices(pictures_per_second: float, tiles_each: int, rate: float) -> int:
    """Count the devices of so many tiles per second that a target takes, none busier than LOAD."""
    return math.ceil(pictures_per_second * tiles_each / (LOAD * rate))


def figure(value: float) -> str:
    """Write three digits, without a power of ten."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def rows(name: str, rate: float, tile: int, overlap: int) -> list[str]:
    """Write a device's rows of the table, one for each size."""
    lines = []
    for height, width in SIZES:
        each = len(TilePlan(height, width, tile, overlap))
        cells = (name, f"{width}×{height}", each, figure(rate / each), figure(each / rate))
        lines.append("| " + " | ".join(map(str, (*cells, devices(TARGET, each, rate)))) + " |")
    return lines


def measured() -> list[tuple[str, float, int, int]]:
    """List the devices of the results with their tiles per second, and side and overlap of these."""
    found = []
    for path in sorted(FOLDER.glob("scale-out-w*.json")):
        result = json.loads(path.read_text())
        for cores, rate in result["tiles_per_second"].items():
            busy = result["restorer_core_share"][cores] < BUSY
            device = f"{cores} {result['machine']['cpu']} core{'s' * (cores != '1')}"
            words = [path.stem.removeprefix("scale-out-"), result["precision"], device, *["shared, provisional"] * busy]
            found.append((", ".join(words), rate, result["tile"], result["overlap"]))
    return found


def table(rates: list[tuple[str, float, int, int]]) -> str:
    """Write the table in Markdown."""
    head = [
        f"| network and device | picture | tiles | pictures/s | s/picture | devices for {TARGET:g}/s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join(head + [line for rate in rates for line in rows(*rate)]) + "\n"


def filled(page: str, text: str) -> str:
    """Put the table between the page's marks."""
    return re.sub(r"(?<=<!-- capacity -->\n).*?(?=<!-- end -->)", lambda _: text, page, flags=re.DOTALL)


def main() -> None:
    """Write the page, or print the table of one device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, help="tiles per second of a device of yours")
    options = parser.parse_args()
    if options.rate:
        entry = Catalog.load().default("derain", "cpu")
        print(table([("yours", options.rate, entry.tile, entry.overlap)]), end="")  # noqa: T201 - a command's output
    else:
        PAGE.write_text(filled(PAGE.read_text(), table(measured())))


if __name__ == "__main__":
    main()
