"""Score weights on every set of weights/sets.toml, and ship them: file, manifest and tables then say the same figures.

PSNR and SSIM on Y in MATLAB's way, in float32, in the weights' own blended tiles, of the weights rounded to float16, as
they are shipped. With --ship a file takes the place of the entry of its name; `python -m benchmarks.tables` then
rewrites the tables of README.md and MODEL_CARD.md.
"""

import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks import report
from model.checkpoints.catalog import MANIFEST_NAME, WEIGHTS_FOLDER, Catalog
from model.checkpoints.checkpoint import load_checkpoint, read_info, save_checkpoint, write_atomically
from model.data.sources import ValidationSpec, build_validation
from model.evaluation.protocol import Report, evaluate
from model.inference.restorer import Restorer

SETS = WEIGHTS_FOLDER / "sets.toml"


def sets(task: str) -> Iterator[tuple[ValidationSpec, bool]]:
    """List a task's sets, and whether each is a headline."""
    for table in tomllib.loads(SETS.read_text(encoding="utf-8"))[task]:
        headline = table.pop("headline", False)
        yield ValidationSpec(**table), headline


def figures(scored: Report) -> dict[str, float]:
    """Sum up a set as it stands in manifest and file; a figure that is infinite or nowhere measured is left out.

    A mean hides the few pictures that fail, so the least of them stands beside it: the least gain, or where the input
    is the target itself, the least PSNR.
    """
    mean, images = scored.mean, scored.images.values()
    values = {
        "pictures": len(images),
        "input_psnr_y": mean.input_psnr_y,
        "psnr_y": mean.psnr_y,
        "input_ssim_y": mean.input_ssim_y,
        "ssim_y": mean.ssim_y,
        "tile_step": mean.tile_step,
        "worse": len(scored.worse),
        "least_gain": min(score.psnr_y - score.input_psnr_y for score in images),
    }
    if not isfinite(mean.input_psnr_y):  # clear pictures: the input is the target
        del values["input_ssim_y"], values["worse"], values["least_gain"]
        values["least_psnr_y"] = min(score.psnr_y for score in images)
    places = {"input_ssim_y": 3, "ssim_y": 3}
    return {key: round(value, places.get(key, 2)) + 0 for key, value in values.items() if isfinite(value)}


def rounded(sources: Sequence[Path], target: Path) -> Path:
    """Write a file's weights in float16, which halves its size; of several files the mean of their weights.

    The files must be runs that began at the same weights. Their mean can score above each of them (Wortsman et al.,
    "Model soups", ICML 2022). What else a file says is taken from the last one.
    """
    loaded = [load_checkpoint(source) for source in sources]
    states = [network.state_dict() for network, _ in loaded]
    state = {
        key: torch.stack([each[key] for each in states]).double().mean(dim=0).half()
        if last.is_floating_point()
        else last
        for key, last in states[-1].items()
    }
    save_checkpoint(target, state, loaded[-1][1])
    return target


def ship(name: str, source: Path, scores: dict[str, dict[str, float]], recipe: str, revision: str) -> None:
    """Write weights with their scores into the folder of weights, and their manifest entry anew."""
    catalog = Catalog.load()
    old = next(entry for entry in catalog.entries if entry.name == name)
    info = read_info(source)
    sha256 = save_checkpoint(catalog.path(old), load_file(source), replace(info, scores=scores))
    entry = replace(
        old,
        sha256=sha256,
        width=info.config.width,
        depth=info.config.depth,
        tile=info.tile,
        overlap=info.overlap,
        overview=info.overview,
        recipe=recipe or old.recipe,
        revision=revision or old.revision,
        steps=info.training.get("step", old.steps),
        seed=info.training.get("seed", old.seed),
        scores=scores,
    )
    manifest = catalog.folder / MANIFEST_NAME
    head = manifest.read_text(encoding="utf-8").partition("[[weights]]")[0]
    entries = [(entry if each.name == name else each).to_toml() for each in catalog.entries]
    write_atomically(manifest, (head + "\n".join(entries)).encode())


def main() -> None:
    """Score, report, and ship if asked."""
    parser = report.parser(__doc__)
    parser.add_argument("name", help="an entry of weights/manifest.toml")
    parser.add_argument("--data", type=Path, required=True, help="the folder that the sets' paths start from")
    parser.add_argument(
        "--file", type=Path, nargs="+", help="weights to score in the entry's place; of several files, their mean"
    )
    parser.add_argument("--only", nargs="*", default=[], help="words of the sets' names, to score these alone")
    parser.add_argument("--ship", action="store_true", help="put file and scores into the folder of weights")
    parser.add_argument("--recipe", default="", help="with --ship: the recipe's name, where it changes")
    parser.add_argument("--revision", default="", help="with --ship: the revision that trained them")
    options = parser.parse_args()
    if options.ship and options.only:
        parser.error("--ship wants every set, without --only")
    catalog = Catalog.load()
    entry = next((entry for entry in catalog.entries if entry.name == options.name), None)
    if entry is None:
        parser.error(f"{options.name} is not in the manifest: {', '.join(each.name for each in catalog.entries)}")
    paths = options.file or [catalog.path(entry)]
    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        small = rounded(paths, Path(folder) / paths[-1].name)
        restorer = Restorer.load(small, precision="fp32")
        for spec, _ in sets(entry.task):
            if not options.only or any(word in spec.name for word in options.only):
                pairs = build_validation(spec, options.data)
                scores[spec.name] = figures(evaluate(partial(restorer.restore, scale=1.0), pairs, restorer.plan))
                print(spec.name, scores[spec.name], file=sys.stderr)  # noqa: T201 - a command's progress
        if options.ship:
            ship(entry.name, small, scores, options.recipe, options.revision)
    report.write(f"weights-{entry.name}", options, {"files": [path.name for path in paths], "scores": scores})


if __name__ == "__main__":
    main()
