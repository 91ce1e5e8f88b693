"""What a user waits for: a JPEG of 0.3, 2, 12 and 24 megapixels, with rain, dry and with haze, and no options.

The streaks are as wide as those of a camera with so many pixels. The service finds their scale by itself.
"""

import statistics
import time

import httpx
import numpy as np

from benchmarks import networks, report
from benchmarks.pictures import encoded
from benchmarks.service import serving
from benchmarks.stages import size
from model.checkpoints.catalog import shipped
from model.data.haze import add_haze, sample_haze
from model.data.picture import Picture, picture_rng, resize
from model.data.rain import Rain, RainLayer, add_rain
from model.data.scenes import draw_scene

MEGAPIXELS = (0.3, 2.0, 12.0, 24.0)
STREAK_AT_12_MEGAPIXELS = 16
"""Width in pixels; the length is 16 times that."""


def photos(megapixels: float) -> dict[str, tuple[str, Picture]]:
    """Draw one scene in each weather: the weather's name → the task that is asked for, and the picture."""
    height, width = size(megapixels)
    clear = resize(draw_scene(np.random.default_rng(0), "sky"), height, width)
    streak = STREAK_AT_12_MEGAPIXELS * (megapixels / 12) ** 0.5
    layer = RainLayer(coverage=0.1, length=16 * streak, width=streak, angle=8, strength=0.45)
    rainy = add_rain(clear, Rain((layer,), veil=0.0, screen=False), picture_rng(0, "rain"))
    hazy = add_haze(clear, sample_haze(picture_rng(0, "haze")), picture_rng(0, "haze"))
    return {"rain": ("derain", rainy), "dry": ("derain", clear), "haze": ("dehaze", hazy)}


def measure(client: httpx.Client, task: str, upload: bytes, rounds: int) -> dict[str, object]:
    """Send one photo, and say at which scales it was restored; the median counts."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        answer = client.post(f"/{task}", content=upload).raise_for_status()
        seconds.append(time.perf_counter() - start)
    return {"seconds": round(statistics.median(seconds), 2), "scales": answer.headers["x-dmsr-scale"]}


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w16d4", help="for rain: a size such as w16d4, or a weights file")
    parser.add_argument("--megapixels", type=float, nargs="+", default=list(MEGAPIXELS))
    parser.add_argument("--rounds", type=int, default=3, help="of photos up to 2 megapixels; above, one")
    options = parser.parse_args()
    rows = []
    with (
        serving(options.network, WEIGHTS_DEHAZE=shipped("dehaze")[0]) as service,
        httpx.Client(base_url=service.url, timeout=3600, headers={"accept": "image/jpeg"}) as client,
    ):
        for megapixels in options.megapixels:
            row: dict[str, object] = {"megapixels": megapixels}
            for weather, (task, photo) in photos(megapixels).items():
                upload = encoded(photo, "jpeg", quality=95)
                row[weather] = measure(client, task, upload, options.rounds if megapixels <= 2 else 1)
            rows.append(row)
    report.write(f"photos-{networks.label(options.network)}", options, {"photos": rows})


if __name__ == "__main__":
    main()
