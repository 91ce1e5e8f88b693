"""A training recipe: everything that decides what weights come out, read from one TOML file.

Knows nothing of torch. Paths in a recipe are relative to the data folder, which the command line names.
"""

import tomllib
from dataclasses import MISSING, dataclass, fields
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
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")


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
    decibel_weight, decibel_floor: how much decibel_loss counts beside the authors' loss, and its floor.
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
    decibel_floor: float = 3e-4
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
        except ValueError as error:
            raise RecipeError(f"{path}: {error}") from error

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> "Recipe":
        """Build from parsed TOML; ValueError tells the place and what is unknown, missing or of the wrong type."""
        top = dict(table)
        # The tables first, since what is left is the top of the recipe.
        parts = {
            "network": _build(DMSRConfig, "[network]", top.pop("network", {})),
            "optimiser": _build(Optimiser, "[optimiser]", top.pop("optimiser", {})),
            "phases": _build_each(Phase, "phase", top.pop("phase", [])),
            "sources": _build_each(SourceSpec, "source", top.pop("source", [])),
            "validations": _build_each(ValidationSpec, "validation", top.pop("validation", [])),
        }
        if misnamed := sorted(top.keys() & parts.keys()):
            raise ValueError(f"unknown key {misnamed[0]!r}; the tables are [[phase]], [[source]] and [[validation]]")
        recipe = _build(cls, "the top of the recipe", top | parts)
        if not recipe.phases or [p.until for p in recipe.phases] != sorted({p.until for p in recipe.phases}):
            raise ValueError("there must be a [[phase]], and each `until` must be greater than the one before")
        if not recipe.sources or sum(source.share for source in recipe.sources) <= 0:
            raise ValueError("there must be a [[source]] with a share above zero")
        return recipe


def _build_each(kind: type[T], name: str, tables: list[dict[str, Any]]) -> tuple[T, ...]:
    if not isinstance(tables, list):
        raise ValueError(f"[{name}] stands in single brackets; there may be several, so write [[{name}]]")
    return tuple(_build(kind, f"[[{name}]] {number}", table) for number, table in enumerate(tables, 1))


def _build(kind: type[T], place: str, table: dict[str, Any]) -> T:
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # T is always a dataclass
    if unknown := sorted(table.keys() - known.keys()):
        raise ValueError(f"{place} has an unknown key {unknown[0]!r}; known are {', '.join(known)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    if isinstance(values.get("path"), str) and kind is SourceSpec:
        values["path"] = (values["path"],)
    for name, field in known.items():
        if name not in values:
            if field.default is MISSING and field.default_factory is MISSING:
                raise ValueError(f"{place} lacks the key {name!r}")
        elif not _fits(values[name], field.type):
            raise ValueError(f"{place}: {name} is {values[name]!r}; it must be {_TYPES[field.type]}")
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


_TYPES: dict[object, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _fits(value: object, wanted: object) -> bool:
    if wanted not in _TYPES:
        return True
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is wanted
