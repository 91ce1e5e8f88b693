"""How badly weights fail at worst: pictures and tiles that came out worse than they went in.

Knows nothing of weights, devices or files: any function from picture to picture can be judged.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field

import numpy as np

from model.data.datasets import Pair
from model.data.picture import Picture
from model.evaluation.metrics import luma
from model.inference.scales import Outcome
from model.inference.tiling import TilePlan

CEILINGS = {"derain": 42.0, "dehaze": 38.0}
"""PSNR in dB from which a picture counts as equal to the clean one. A clear picture has no PSNR of its own, and one
that comes back at 42 dB is off by two grey levels; dehazing decides about brightness and may be off by three."""

PICTURE_LOSS = 0.3
"""dB below its input at which a picture counts as worse."""

TILE_LOSS = 3.0
"""dB below its input at which a tile counts as worse."""

EXPLODED_ERROR, EXPLODED_ENERGY = 100.0, 1.5
"""A tile has exploded if its squared error in grey levels is this much above four times its input's, and if it has this
many times the energy of detail that input and clean picture have: noise was added, not only rain left or taken."""


@dataclass(frozen=True)
class TileVerdict:
    """Tell how one tile fared: dB lost against its input (negative: won), and whether it exploded."""

    loss: float
    exploded: bool


@dataclass(frozen=True)
class Verdict:
    """Tell how one picture fared: PSNR on Y of input and output, both at most the ceiling, and its tiles.

    kept: how many of the network's tiles were noise, so that the runner left them as they were.
    """

    group: str
    name: str
    before: float
    after: float
    tiles: tuple[TileVerdict, ...]
    kept: int = 0

    @property
    def gain(self) -> float:
        """Return the dB won."""
        return self.after - self.before


@dataclass(frozen=True)
class Stability:
    """Sum up a group of pictures, or all: mean gain in dB, the worst picture and tile, counts of what got worse."""

    pictures: int
    before: float
    after: float
    gain: float
    worst_picture: str
    worst_gain: float
    pictures_worse: int
    worst_tile: float
    tiles_worse: int
    tiles_exploded: int
    tiles_kept: int
    exploded_in: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, verdicts: list[Verdict]) -> "Stability":
        """Sum up at least one verdict."""
        worst = min(verdicts, key=lambda verdict: verdict.gain)
        tiles = [tile for verdict in verdicts for tile in verdict.tiles]
        return cls(
            pictures=len(verdicts),
            before=float(np.mean([verdict.before for verdict in verdicts])),
            after=float(np.mean([verdict.after for verdict in verdicts])),
            gain=float(np.mean([verdict.gain for verdict in verdicts])),
            worst_picture=worst.name,
            worst_gain=worst.gain,
            pictures_worse=sum(verdict.gain < -PICTURE_LOSS for verdict in verdicts),
            worst_tile=-max(tile.loss for tile in tiles),
            tiles_worse=sum(tile.loss > TILE_LOSS for tile in tiles),
            tiles_exploded=sum(tile.exploded for tile in tiles),
            tiles_kept=sum(verdict.kept for verdict in verdicts),
            exploded_in=[
                verdict.name for verdict in verdicts if verdict.kept or any(tile.exploded for tile in verdict.tiles)
            ],
        )

    def to_table(self) -> dict[str, object]:
        """Return a plain dictionary for JSON."""
        return asdict(self)


def judge(
    restore: Callable[[Picture], Outcome],
    suite: Iterable[tuple[str, Pair]],
    plan: Callable[[int, int], TilePlan],
    ceiling: float,
) -> list[Verdict]:
    """Restore every picture of a suite of (group, pair) and compare it, whole and by tiles, with its input."""
    verdicts = []
    for group, pair in suite:
        outcome = restore(pair.degraded)
        pictures = (pair.clean, pair.degraded, outcome.image)
        clean, before, after = (luma(picture).astype(np.float64) for picture in pictures)
        tiles = tuple(_judge_tile(clean[box], before[box], after[box], ceiling) for box in _windows(plan(*clean.shape)))
        whole = [_decibels(np.square(one - clean).mean(), ceiling) for one in (before, after)]
        verdicts.append(Verdict(group, pair.name, *whole, tiles, outcome.kept))
    return verdicts


def by_group(verdicts: list[Verdict]) -> dict[str, Stability]:
    """Sum up each group, in the order in which they came."""
    groups = dict.fromkeys(verdict.group for verdict in verdicts)
    return {group: Stability.of([one for one in verdicts if one.group == group]) for group in groups}


def _judge_tile(clean: np.ndarray, before: np.ndarray, after: np.ndarray, ceiling: float) -> TileVerdict:
    error_before, error_after = np.square(before - clean).mean(), np.square(after - clean).mean()
    energy = max(_detail(before), _detail(clean), 1.0)
    exploded = error_after > 4 * error_before + EXPLODED_ERROR and _detail(after) > EXPLODED_ENERGY * energy
    loss = _decibels(error_before, ceiling) - _decibels(error_after, ceiling)
    return TileVerdict(float(loss), bool(exploded))


def _detail(plane: np.ndarray) -> float:
    """Return the mean squared difference between neighbours."""
    return float(np.square(np.diff(plane, axis=0)).mean() + np.square(np.diff(plane, axis=1)).mean())


def _decibels(squared_error: float, ceiling: float) -> float:
    return float(min(ceiling, 10 * np.log10(255**2 / max(squared_error, 1e-9))))


def _windows(plan: TilePlan) -> list[tuple[slice, slice]]:
    return [(slice(top, top + plan.tile), slice(left, left + plan.tile)) for top in plan.rows for left in plan.columns]
