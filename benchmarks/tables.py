"""The tables of the pages, out of benchmarks/results/*.json and weights/manifest.toml: no figure is copied by hand.

In a page, what stands between `<!-- NAME -->` and `<!-- end -->` is the table of that name.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks import report
from benchmarks.photos import MEGAPIXELS
from benchmarks.report import read
from benchmarks.weights import sets
from model.checkpoints.catalog import Catalog

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "docs" / "performance.md", ROOT / "README.md", ROOT / "weights" / "MODEL_CARD.md")
MISSING = "no figure"
PSNR_KEYS, SSIM_KEYS = ("input_psnr_y", "psnr_y"), ("input_ssim_y", "ssim_y")
NETWORKS = ("w16d4", "w48d16")

# Figure, bound, result, and where in the result it stands. The bounds are those of a CPU.
WANTED = (
    ("runner over plain network, per tile, w48d16", "≥ 4", "tiles-w48d16", "speedup_over_plain"),
    ("runner over plain network, per tile, w16d4", "≥ 2.5", "tiles-w16d4", "speedup_over_plain"),
    ("error of the runner, mean, 8-bit steps, w48d16", "≤ 0.3", "tiles-w48d16", "error.mean_steps"),
    ("error of the runner, 99.9th percentile, w48d16", "≤ 3", "tiles-w48d16", "error.p999_steps"),
    ("error of the runner, mean, 8-bit steps, w16d4", "≤ 0.3", "tiles-w16d4", "error.mean_steps"),
    ("error of the runner, 99.9th percentile, w16d4", "≤ 3", "tiles-w16d4", "error.p999_steps"),
    ("service over bare runner at saturation, w48d16", "≥ 0.95", "load-w48d16", "saturation.service_over_bare"),
    ("service over bare runner at saturation, w16d4", "≥ 0.85", "load-w16d4", "saturation.service_over_bare"),
    ("added to a 256×256 picture at idle, ms, w16d4", "≤ 10", "load-w16d4", "idle.added_median_milliseconds"),
    ("over the best peer with the plain network, uniform", "≥ 3", "peers-plain-w16d4", "ratios.uniform.best"),
    ("over the best peer with the plain network, mixed", "≥ 3", "peers-plain-w16d4", "ratios.mixed.best"),
    ("over the best peer with the plain network, beside", "≥ 3", "peers-plain-w16d4", "ratios.beside.best"),
    ("over the best peer with our runner, uniform", "≥ 0.95", "peers-runner-w16d4", "ratios.uniform.best"),
    ("over the best peer with our runner, mixed", "≥ 1.0", "peers-runner-w16d4", "ratios.mixed.best"),
    ("over the naive handler with our runner, beside", "≥ 1", "peers-runner-w16d4", "ratios.beside.naive"),
    ("over LitServe with our runner, beside", "≥ 10", "peers-runner-w16d4", "ratios.beside.litserve"),
    ("over BentoML with our runner, beside", "≥ 10", "peers-runner-w16d4", "ratios.beside.bentoml"),
    ("over mosec with our runner, beside", "≥ 10", "peers-runner-w16d4", "ratios.beside.mosec"),
    ("over Ray Serve with our runner, beside", "≥ 10", "peers-runner-w16d4", "ratios.beside.ray_serve"),
    ("dearest over cheapest tile by size of picture, w16d4", "≤ 1.15", "stages-w16d4", "dearest_over_cheapest_tile"),
    ("dearest over cheapest tile by size of picture, w4d1", "≤ 1.15", "stages-w4d1", "dearest_over_cheapest_tile"),
    ("memory over idle, bytes a pixel, png uploads", "≤ 24", "memory", "uploads.png.bytes_per_pixel"),
    ("memory over idle, bytes a pixel, jpeg uploads", "≤ 24", "memory", "uploads.jpeg.bytes_per_pixel"),
    ("start to ready, s, w16d4", "≤ 8", "start-w16d4", "ready_median_seconds"),
    ("queue over bare runner, w48d16", "≥ 0.95", "batching-w48d16", "queue_over_bare"),
    ("queue over bare runner, w16d4", "≥ 0.85", "batching-w16d4", "queue_over_bare"),
    ("small pictures beside a huge one, over their bound", "≤ 1", "flood", "flooded_over_bound"),
    ("burst of ten queues, over the ideal time", "≤ 2", "overload", "burst.over_ideal"),
    ("tiles served under ten times too much, over capacity", "≥ 0.9", "overload", "sustained.served_over_capacity"),
)


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _processor(result: dict) -> str:
    """Name the processor of a result that has figures."""
    machine = result["machine"]
    return machine["cpu"] + (", AMX" if machine["amx"] else "")


def photos() -> str:
    """Show what a user waits for."""
    rows = []
    for row in (read("photos-w16d4") or {"photos": [{"megapixels": megapixels} for megapixels in MEGAPIXELS]})[
        "photos"
    ]:
        taken = [row.get(weather) for weather in ("rain", "dry", "haze")]
        each = (f"{found['seconds']} s, at {found['scales']}" if found else MISSING for found in taken)
        rows.append((f"{row['megapixels']:g}", *each))
    return table(("megapixels", "with rain", "dry", "with haze"), rows)


def wanted() -> str:
    """Set what is wanted against what was measured."""
    rows = []
    for figure, bound, name, place in WANTED:
        found: object = read(name)
        for key in place.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        rows.append((figure, bound, MISSING if found is None else found, f"`{name}`"))
    return table(("figure", "wanted", "measured", "result"), rows)


def tiles() -> str:
    """Show plain network and runner, by network and batch."""
    rows = []
    for name in NETWORKS:
        figures = read(f"tiles-{name}") or {"seconds_per_tile": {}}
        for who, seconds in figures["seconds_per_tile"].items():
            share = figures["roofline"].get(f"{who}_percent_of_matmul_peak", "")
            by_batch = ", ".join(f"{count}: {taken:.4g}" for count, taken in seconds.items())
            rows.append((name, _processor(figures), who.replace("_", " "), by_batch, f"{share}%"))
    return table(("network", "processor", "", "seconds a tile, by batch", "of the matmul peak"), rows)


def profile() -> str:
    """Show what takes the runner's time, the dearest operators first."""
    found = {name: read(f"tiles-{name}") or {} for name in NETWORKS}
    shown = {name: list(each["profile"]["runner"].items())[:8] for name, each in found.items() if "profile" in each}
    rows = ([f"`{key}` {share:.0%}" for key, share in row] for row in zip(*shown.values(), strict=True))
    return table(shown, rows)


def stages() -> str:
    """Show the stations' shares by size of picture."""
    rows, stations = [], ("decode", "queue", "device", "stitch", "encode", "elsewhere")
    for name in ("w16d4", "w4d1"):
        figures = read(f"stages-{name}") or {"sizes": []}
        for row in figures["sizes"]:
            shares = (row["shares"][key] for key in stations)
            where = (name, _processor(figures), row["megapixels"], row["tiles"], row["seconds_per_tile"])
            rows.append((*where, *(f"{share:.1%}" for share in shares)))
    return table(("network", "processor", "MP", "tiles", "s a tile", *stations), rows)


def load() -> str:
    """Show latency at Poisson arrivals."""
    rows = []
    for name in NETWORKS:
        figures = read(f"load-{name}") or {"open_loop": []}
        for row in figures["open_loop"]:
            latencies = (row.get(f"p{percent}_seconds", "–") for percent in (50, 95, 99))
            where = (name, _processor(figures), row["load"], row["pictures"])
            rows.append((*where, row["tiles_per_second"], row["device_busy"], *latencies))
    head = ("network", "processor", "load", "pictures", "tiles a second", "device busy", "p50 s", "p95 s", "p99 s")
    return table(head, rows)


def peers() -> str:
    """Show every server's throughput and latencies in both comparisons."""
    rows = []
    for model in ("plain", "runner"):
        for name, figures in (read(f"peers-{model}-w16d4") or {"servers": {}})["servers"].items():
            if "failed" in figures:
                rows.append((model, name, *["failed"] * 4))
                continue
            rates = (figures[workload]["pictures_per_second"] for workload in ("uniform", "mixed"))
            beside = figures["beside"]
            late = beside["statuses"].get("0", 0)
            p95 = f"{'≥ ' * bool(late)}{beside.get('p95_seconds', '–')}"
            rows.append((model, name.replace("_", " "), *rates, beside["p50_seconds"], p95))
    head = ("peers have", "server", "uniform, pictures/s", "mixed, pictures/s", "beside a huge one, p50 s", "p95 s")
    return table(head, rows)


def enlarged() -> str:
    """Show what is gained on Rain12 as larger photos would show it."""
    rows = []
    for row in (read("scales-enlarged") or {"enlarged": []})["enlarged"]:
        decibels = (f"{row[key]:.2f}" for key in ("input_psnr_y", "psnr_y", "gain", "least_gain"))
        first = [float(scales.partition(",")[0]) for scales in row["scales"]]
        rows.append((f"×{row['factor']:g}", *decibels, f"{min(first):g} to {max(first):g}"))
    return table(("enlarged", "input, dB", "restored, dB", "gain", "least gain of a picture", "at scales"), rows)


def gains() -> str:
    """Show the same in one line."""
    rows = (read("scales-enlarged") or {"enlarged": []})["enlarged"]
    return table(
        ["enlarged", *(f"×{row['factor']:g}" for row in rows)], [["gain, dB", *(f"{row['gain']:.1f}" for row in rows)]]
    )


def scores_derain() -> str:
    """Show what the deraining weights are worth on every set."""
    return _scores("derain", headlines=False)


def scores_dehaze() -> str:
    """Show what the dehazing weights are worth on every set."""
    return _scores("dehaze", headlines=False)


def headlines() -> str:
    """Show the sets of both tasks that say most."""
    rain, haze = (_scores(task, headlines=True) for task in ("derain", "dehaze"))
    return rain + "".join(haze.splitlines(keepends=True)[2:])


def _scores(task: str, headlines: bool) -> str:
    """Set the restored pictures of each set beside the input, for the default weights of a task."""
    entry = Catalog.load().default(task, "cpu")
    head, rows = ("set (pictures)", "input", "restored", "worst picture"), []
    for spec, headline in sets(task):
        if headlines and not headline:
            continue
        figures = entry.scores.get(spec.name, {}) if entry else {}
        decibels, similar = ([figures.get(key) for key in pair] for pair in (PSNR_KEYS, SSIM_KEYS))
        before = "–" if decibels[0] is None else f"{decibels[0]:.2f} dB, {similar[0]:.3f}"
        after = MISSING if decibels[1] is None else f"{decibels[1]:.2f} dB, {similar[1]:.3f}"
        row = [f"{spec.name} ({figures.get('pictures', 0):.0f})", before, after, _least(figures)]
        if headlines:
            row.insert(0, {"derain": "rain", "dehaze": "haze"}[task])
        else:
            step = figures.get("tile_step")
            row += [figures.get("worse", "–"), "–" if step is None else f"{step:+.2f}"]
        rows.append(row)
    if headlines:
        return table(("task", *head), rows)
    return table((*head, "worse than the input", "tile step"), rows)


def _least(figures: dict[str, float]) -> str:
    """Show the picture that a mean hides: its gain over the input, or of clear pictures its PSNR."""
    if "least_gain" in figures:
        return f"{figures['least_gain']:+.2f} dB"
    return f"{figures['least_psnr_y']:.2f} dB" if "least_psnr_y" in figures else MISSING


def runs() -> str:
    """Say when, where and on which revision each result was measured."""
    rows = []
    for path in sorted(report.FOLDER.glob("*.json")):
        found = json.loads(path.read_text())
        machine = found["machine"]
        where = f"{_processor(found)}, {machine['cores']} cores, {machine['device']}, torch {machine['torch']}"
        rows.append((f"`{path.stem}`", found["date"][:10], found["revision"], where))
    return table(("result", "date", "revision", "machine"), rows)


SHOWN = (photos, wanted, tiles, profile, stages, load, peers, runs, headlines, gains)
SHOWN += (scores_derain, scores_dehaze, enlarged)
TABLES = {each.__name__: each for each in SHOWN}


def filled(page: str) -> str:
    """Return the page with its tables as the results have them."""
    return re.sub(
        r"(<!-- (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))
