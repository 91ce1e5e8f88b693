"""A training recipe: everything that decides what weights come out, read from one TOML file.

Knows nothing of torch. Paths in a recipe are relative to the data folder, which the command line names.
"""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from model.data.sources import SourceSpec, ValidationSpec
from model.network.config import DMSRConfig

T = TypeVar("T")


class RecipeError(ValueError):
    """A recipe that cannot be followed; the message names file, place and cause."""


KINDS = ("adam", "muon")
SCHEDULES = ("cosine", "linear")


@dataclass(frozen=True)
class Optimiser:
    """Set up the optimiser, its schedule, the clipping of the gradient's norm and the moving average of the weights.

    kind: "adam", or "muon" for dense convolutions with Adam for the rest; see optimisers.py.
    peak_rate, final_rate: the highest rate, and the one at the end.
    schedule: "cosine" falls from the beginning; "linear" stays at the peak for the part `flat` of the run, then falls.
    warmup_steps: rise to the peak over so many steps, a tenth of the run at most.
    adam_rate_ratio: Adam's rate beside Muon's, as a multiple. adam_beta2: the decay of Adam's second moment.
    momentum: Muon's, in Nesterov's form.
    weight_decay: decoupled, of dense convolutions only, in each step a part `rate · weight_decay`.
    average_decay: of the moving average that is validated and shipped.
    """

    kind: str = "adam"
    peak_rate: float = 2e-4
    final_rate: float = 1e-6
    schedule: str = "cosine"
    flat: float = 0.3
    warmup_steps: int = 300
    adam_rate_ratio: float = 1.0
    momentum: float = 0.95
    adam_beta2: float = 0.999
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    average_decay: float = 0.999

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r} in [optimiser]; it must be one of {', '.join(known)}"
                )


@dataclass(frozen=True)
class Phase:
    """Train with batches of `batch` crops of crop × crop pixels until that part of the run is over."""

    crop: int
    batch: int
    until: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """Say how to train one file of weights.

    tile, overlap, overview: how the weights will be used; see TilePlan.
    steps: length of the run, unless the command line sets a wall time instead.
    decibel_weight: how much decibel_loss counts beside the authors' loss.
    calibration_crops: crops of tile × tile over which the BatchNorm statistics are estimated anew; 0 trains with the
        statistics of the weights it begins from and keeps them.
    freeze_statistics: the part of the run after which training goes on from the averaged weights with statistics
        estimated for them, as they are at run time, and no batch's own. Weights that never met them can explode on
        tiles unlike any batch, such as smooth skies. 1 never does.
    """

    task: str
    network: DMSRConfig
    steps: int
    tile: int
    overlap: int
    optimiser: Optimiser
    phases: tuple[Phase, ...]
    sources: tuple[SourceSpec, ...]
    validations: tuple[ValidationSpec, ...] = ()
    overview: bool = False
    seed: int = 0
    decibel_weight: float = 0.0
    calibration_crops: int = 400
    freeze_statistics: float = 1.0

    @property
    def largest_side(self) -> int:
        """Return the side in pixels of the largest crop that a run takes, calibration included."""
        return max(self.tile, *(phase.crop for phase in self.phases))

    @classmethod
    def load(cls, path: Path) -> "Recipe":
        """Read a recipe; raises RecipeError."""
        try:
            return cls.from_table(tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise RecipeError(f"{path} cannot be read: {error.strerror}") from error
        except (TypeError, ValueError) as error:
            raise RecipeError(f"{path}: {error}") from error

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> "Recipe":
        """Build from parsed TOML; ValueError or TypeError tells what is unknown or missing."""
        top = dict(table)
        recipe = _build(
            cls,
            "recipe",
            top
            | {
                "network": _build(DMSRConfig, "network", top.pop("network", {})),
                "optimiser": _build(Optimiser, "optimiser", top.pop("optimiser", {})),
                "phases": tuple(_build(Phase, "phase", phase) for phase in top.pop("phase", [])),
                "sources": tuple(_build(SourceSpec, "source", source) for source in top.pop("source", [])),
                "validations": tuple(_build(ValidationSpec, "validation", one) for one in top.pop("validation", [])),
            },
        )
        if not recipe.phases or [p.until for p in recipe.phases] != sorted({p.until for p in recipe.phases}):
            raise ValueError("there must be phases, each `until` greater than the one before")
        if not recipe.sources or sum(source.share for source in recipe.sources) <= 0:
            raise ValueError("there must be sources with shares above zero")
        return recipe


def _build(kind: type[T], place: str, table: dict[str, Any]) -> T:
    if unknown := table.keys() - {f.name for f in fields(kind)}:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r} in [{place}]")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    if isinstance(values.get("path"), str) and kind is SourceSpec:
        values["path"] = (values["path"],)
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"[{place}]: {error}") from error
