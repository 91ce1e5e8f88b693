"""Where a picture's time goes, by its size: the share of each station, and whether a tile costs the same in all sizes.

The service measures its stations itself (`Server-Timing`); what its clock does not see is `elsewhere`: HTTP, the waits
between stations, and the comparison of before and after.
"""

import re
import time

import httpx

from benchmarks import networks, report
from benchmarks.pictures import drawn, encoded
from benchmarks.service import serving
from model.inference.tiling import TilePlan

MEGAPIXELS = (0.3, 1.0, 6.0, 24.0)


def size(megapixels: float) -> tuple[int, int]:
    """Return height and width in pixels of a picture of 3:2; 24 megapixels are 4000×6000."""
    height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
    return height, round(1.5 * height)


def stations(answer: httpx.Response) -> dict[str, float]:
    """Read the seconds at each station out of an answer."""
    timing = re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"])
    return {station: float(milliseconds) / 1000 for station, milliseconds in timing}


def post(client: httpx.Client, picture: bytes, scale: str = "1") -> tuple[float, dict[str, float]]:
    """Post one picture; return the seconds it took in all, and at each station."""
    start = time.perf_counter()
    answer = client.post("/derain", params={"scale": scale}, content=picture)
    seconds = time.perf_counter() - start
    answer.raise_for_status()
    return seconds, stations(answer)


def measure(client: httpx.Client, picture: bytes, tiles: int, rounds: int, scale: str = "1") -> dict[str, object]:
    """Measure one size: the round of median length counts."""
    posts = sorted((post(client, picture, scale) for _ in range(rounds)), key=lambda post: post[0])
    seconds, taken = posts[rounds // 2]
    shares = {station: round(spent / seconds, 4) for station, spent in taken.items()}
    return {
        "tiles": tiles,
        "seconds": round(seconds, 3),
        "seconds_per_tile": round(seconds / tiles, 5),
        "shares": shares | {"elsewhere": round(1 - sum(taken.values()) / seconds, 4)},
    }


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w16d4", help="a size such as w16d4, or a weights file")
    parser.add_argument("--megapixels", type=float, nargs="+", default=list(MEGAPIXELS))
    parser.add_argument("--rounds", type=int, default=5, help="of pictures up to a megapixel; above it, one")
    parser.add_argument("--scale", default="1", help="of the restoration: 1 is the most work, auto as users have it")
    options = parser.parse_args()
    info, rows = networks.describe(options.network), []
    with serving(options.network) as service, httpx.Client(base_url=service.url, timeout=3600) as client:
        post(client, encoded(drawn(256, 256)))
        for megapixels in options.megapixels:
            height, width = size(megapixels)
            tiles = len(TilePlan(height, width, info.tile, info.overlap))
            picture = encoded(drawn(height, width), "jpeg", quality=90)
            rounds = options.rounds if megapixels <= 1 else 1
            rows.append({"megapixels": megapixels} | measure(client, picture, tiles, rounds, options.scale))
    each = [row["seconds_per_tile"] for row in rows]
    figures = {"dearest_over_cheapest_tile": round(max(each) / min(each), 3), "sizes": rows}
    name = f"stages-{networks.label(options.network)}"
    report.write(name if options.scale == "1" else f"{name}-{options.scale}", options, figures)


if __name__ == "__main__":
    main()
