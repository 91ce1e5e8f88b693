"""What the survey and the passes at several scales are worth, beside one pass at a given scale.

Seven parts: what the network does to streaks of each width, which the survey's constants are medians of; pairs enlarged
(`dmsr evaluate --enlarge` prints the same); two rains in one picture; clear photos; rain drawn at full size over the
largest photos; haze; and a photo of 12 megapixels through the service. Each has a result of its own.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks import report
from benchmarks.pictures import encoded
from benchmarks.service import serving
from benchmarks.stages import post
from model.checkpoints.catalog import Catalog
from model.checkpoints.checkpoint import read_info
from model.data.camera_rain import add_camera_rain, sample_camera_rain
from model.data.datasets import list_pictures
from model.data.haze import add_haze, sample_haze
from model.data.layouts import load_pairs
from model.data.picture import Picture, picture_rng, read_picture, resize, through_jpeg
from model.data.rain import Rain, RainLayer, add_rain
from model.evaluation.enlarged import enlarge, measure_enlarged
from model.evaluation.metrics import luma, psnr
from model.evaluation.protocol import UNTOUCHED
from model.inference.restorer import Restorer
from model.inference.scales import MARGIN
from model.inference.survey import Response, ordinary_windows

WIDTHS = (4, 3, 2.5, 2, 1.5, 1.25, 1, 0.75)
"""Of streaks in a survey's windows, by the width that is known."""

FACTORS = (1, 1.5, 2, 3, 4, 6, 8)
SINGLE_SCALES = (1.0, 0.5, 0.25, 0.125)
TWO_RAINS = Rain((RainLayer(0.1, 22, 1.5, 6, 0.5), RainLayer(0.1, 180, 12, 8, 0.5)), veil=0.0, screen=False)
SMALL_PIXELS = 300_000


def decibels(picture: Picture, clean: Picture) -> float:
    """Return PSNR on Y; UNTOUCHED for equal pictures, so that they have a mean."""
    return min(psnr(luma(picture), luma(clean)), UNTOUCHED)


def larger(picture: Picture, factor: float) -> Picture:
    """Enlarge bicubically."""
    return resize(picture, *(round(side * factor) for side in picture.shape[:2]))


def responses(restorers: dict[str, Restorer], options: argparse.Namespace) -> dict[str, object]:
    """Survey the half of Rain12 enlarged, and clear photos; take quantiles of the responses.

    After a change of weights, the constants of `model.inference.survey` follow from the medians.
    """
    restorer = restorers["derain"]
    tile, inside = restorer.runner.tile, slice(MARGIN, -MARGIN)

    def respond(picture: Picture) -> Response:
        halved = np.asarray(Image.fromarray(picture).reduce(2))
        windows = ordinary_windows(halved, tile, 4)
        after = np.stack([restorer.restore(window, scale=1) for window in windows])
        return Response.measure(windows[:, inside, inside], after[:, inside, inside])

    def summed(each: list[Response]) -> dict[str, list[float]]:
        columns = {name: [getattr(one, name) for one in each] for name in ("amount", "fineness", "added")}
        return {
            name: [round(float(part), 3) for part in np.quantile(values, (0, 0.25, 0.5, 0.75, 1))]
            for name, values in columns.items()
        }

    pairs = load_pairs(options.data / "rain/val/Rain12", options.take)
    photos = [read_picture(path) for path in list_pictures(options.data / "clean/Kodak24", options.take)]
    rainy = {f"rain ×{by:g}": [respond(enlarge(pair, 2 * by).degraded) for pair in pairs] for by in WIDTHS}
    return {name: summed(each) for name, each in (rainy | {"clear": [respond(photo) for photo in photos]}).items()}


def enlarged(restorers: dict[str, Restorer], options: argparse.Namespace) -> list[dict[str, object]]:
    """Restore Rain12 enlarged by each factor."""
    pairs = load_pairs(options.data / "rain/val/Rain12", options.take)
    rows = (measure_enlarged(restorers["derain"].outcome, pairs, factor) for factor in FACTORS)
    return [asdict(row) | {"gain": row.gain} for row in rows]


def two_rains(restorers: dict[str, Restorer], options: argparse.Namespace) -> dict[str, object]:
    """Draw streaks of 1.5 and of 12 pixels over Kodak24 enlarged ×3; compare with every single scale."""
    gains: dict[str, list[float]] = {}
    for path in list_pictures(options.data / "clean/Kodak24", options.take):
        clean = larger(read_picture(path), 3)
        rainy = add_rain(clean, TWO_RAINS, picture_rng(5, path.stem))
        before = decibels(rainy, clean)
        for scale in ("auto", *SINGLE_SCALES):
            restored = restorers["derain"].restore(rainy, scale=scale)
            gains.setdefault(str(scale), []).append(decibels(restored, clean) - before)
    means = {scale: round(float(np.mean(values)), 3) for scale, values in gains.items()}
    best = max(value for scale, value in means.items() if scale != "auto")
    return {"pictures": len(gains["auto"]), "gains": means, "over_best_single": round(means["auto"] - best, 3)}


def clear(restorers: dict[str, Restorer], options: argparse.Namespace) -> list[dict[str, object]]:
    """Restore clear photos, enlarged: how far they stay from the input, and how many stay exactly."""
    rows = []
    for factor in (1, 2, 4):
        outcomes = []
        for path in list_pictures(options.data / "clean/Kodak24", options.take):
            picture = larger(read_picture(path), factor)
            outcome = restorers["derain"].outcome(picture)
            outcomes.append((decibels(outcome.image, picture), outcome.scales, path.stem))
        touched = {name: (round(value, 2), scales) for value, scales, name in outcomes if scales}
        least, mean = min(outcomes)[0], float(np.mean([value for value, _, _ in outcomes]))
        rows.append({"factor": factor, "pictures": len(outcomes), "mean": mean, "least": least, "touched": touched})
    return rows


def native(restorers: dict[str, Restorer], options: argparse.Namespace) -> dict[str, object]:
    """Draw camera-like rain over the largest photos and over the same made small; the gains should be alike."""
    paths = list_pictures(options.data / "clean/permissive")
    sizes = {path: read_picture(path).size for path in paths}
    largest = sorted(paths, key=lambda path: -sizes[path])[: options.largest]
    rows = []
    for path in largest:
        full = read_picture(path)
        by = (full.shape[0] * full.shape[1] / SMALL_PIXELS) ** 0.5
        small = larger(full, 1 / by)
        row: dict[str, object] = {"picture": path.stem, "megapixels": round(full.size / 3e6, 2)}
        for name, clean, width in (("full", full, 2.0 * by), ("small", small, 2.0)):
            rng = picture_rng(7, path.stem)
            rainy = add_camera_rain(clean, sample_camera_rain(rng, width, "streaks"), rng)
            outcome = restorers["derain"].outcome(rainy)
            row[name] = round(decibels(outcome.image, clean) - decibels(rainy, clean), 3)
            row[f"{name}_scales"] = str(outcome)
        rows.append(row)
    means = {name: round(float(np.mean([row[name] for row in rows])), 3) for name in ("full", "small")}
    return {"means": means, "pictures": rows}


def haze(restorers: dict[str, Restorer], options: argparse.Namespace) -> dict[str, object]:
    """Estimate haze on a smaller picture, and by the full pass."""
    rows = []
    for path in list_pictures(options.data / "clean/Kodak24", options.take):
        clean = larger(read_picture(path), 4)
        rng = picture_rng(1, path.stem)
        hazy = through_jpeg(add_haze(clean, sample_haze(rng), rng), 95)
        row: dict[str, object] = {"picture": path.stem, "input": round(decibels(hazy, clean), 2)}
        for scale in ("auto", 1.0):
            start = time.perf_counter()
            restored = restorers["dehaze"].restore(hazy, scale=scale)
            row[f"{scale}_seconds"] = round(time.perf_counter() - start, 1)
            row[str(scale)] = round(decibels(restored, clean), 2)
        rows.append(row)
    means = {name: round(float(np.mean([row[name] for row in rows])), 2) for name in rows[0] if name != "picture"}
    return {"means": means, "pictures": rows}


def photo(_: dict[str, Restorer], options: argparse.Namespace) -> dict[str, object]:
    """Send one rainy photo of 12 megapixels through the service, at the scale it finds and at full size, in turns."""
    paths = list_pictures(options.data / "clean/permissive")
    clean = resize(read_picture(paths[0]), 3000, 4000)
    layer = RainLayer(coverage=0.1, length=250, width=16, angle=8, strength=0.45)
    rainy = add_rain(clean, Rain((layer,), veil=0.0, screen=False), picture_rng(3, paths[0].stem))
    upload = encoded(rainy, "jpeg", quality=95)
    weights = Catalog.load().path(Catalog.load().default("derain", "cpu"))
    with serving(str(weights)) as service, httpx.Client(base_url=service.url, timeout=3600) as client:
        client.headers["accept"] = "image/jpeg"
        found, stations = post(client, upload, "auto")
        full, _ = post(client, upload, "1")
    shares = {station: round(seconds / found, 4) for station, seconds in stations.items()}
    return {"auto_seconds": round(found, 2), "full_seconds": round(full, 2), "part": found / full, "shares": shares}


PARTS: dict[str, Callable[[dict[str, Restorer], argparse.Namespace], object]] = {
    "responses": responses,
    "enlarged": enlarged,
    "two_rains": two_rains,
    "clear": clear,
    "native": native,
    "haze": haze,
    "photo": photo,
}


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder that recipes name as their data")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--take", default="all", help="K/N for the K-th of every N pictures")
    parser.add_argument("--largest", type=int, default=12, help="photos that rain is drawn over at full size")
    parser.add_argument("--weights", type=Path, nargs="+", default=[], help="instead of the shipped ones of their task")
    options = parser.parse_args()
    if options.json and len(options.parts) > 1:
        parser.error("--json names one file, and each part has a result of its own: name one of --parts")
    catalog = Catalog.load()
    tasks = {"haze": "dehaze"}
    files = {task: catalog.path(catalog.default(task, "cpu")) for task in ("derain", "dehaze")}
    files |= {read_info(path).task: path for path in options.weights}
    needed = {tasks.get(part, "derain") for part in options.parts}
    loaded = {task: Restorer.load(files[task], device="cpu") for task in needed}
    for part in options.parts:
        report.write(f"scales-{part}", options, {part: PARTS[part](loaded, options)})


if __name__ == "__main__":
    main()
