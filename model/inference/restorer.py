"""A whole picture restored in one synchronous call: for the library, the command line and evaluation.

Knows nothing of files or requests: an array in, an array out.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from model.inference.contract import NonFiniteTiles
from model.inference.runner import TileRunner
from model.inference.scales import Outcome, Scale, check_scale, restoration
from model.inference.tiling import Pixels, Stitcher, TilePlan, cut

TILINGS = ("blend", "reference")
REFERENCE_TILE = 128
"""The authors' test window in pixels."""


class Restorer:
    """Restore pictures of any size with one network.

    tiling "blend" uses the weights' own tiles and the device's fast precision; "reference" is the authors'
    protocol: windows of 128 pixels side by side, in float32 unless another precision is asked for by name.
    """

    def __init__(self, runner: TileRunner, tiling: str = "blend") -> None:
        if tiling not in TILINGS:
            raise ValueError(f"tiling is {tiling!r}; it must be one of {', '.join(TILINGS)}")
        self.runner = runner
        self.tiling = tiling

    @classmethod
    def load(
        cls,
        path: Path | str,
        device: str = "auto",
        tiling: str = "blend",
        precision: str = "auto",
        sha256: str | None = None,
    ) -> "Restorer":
        """Load a weights file; device auto, cpu, cuda or cuda:N; precision auto or fp32.

        Raises WeightsError naming the file and what is wrong with it, ValueError for the other arguments.
        """
        if tiling == "reference" and precision == "auto":
            precision = "fp32"
        return cls(TileRunner.load(Path(path), device, precision, sha256), tiling)

    def plan(self, height: int, width: int) -> TilePlan:
        """Lay the tiles for a picture of height × width pixels."""
        if self.tiling == "reference":
            return TilePlan(height, width, REFERENCE_TILE, 0)
        info = self.runner.info
        return TilePlan(height, width, info.tile, info.overlap, info.overview)

    def restore(
        self,
        rgb: ArrayLike,
        progress: Callable[[int, int], None] | None = None,
        *,
        scale: Scale = "auto",
        strength: float = 1.0,
    ) -> Pixels:
        """Restore an RGB picture of any size from 1×1 up: an array, uint8 (H, W, 3), or a PIL image of mode RGB.

        scale: the part of its size at which the picture is restored, 1/16 to 1; "auto" finds where the rain is.
            Tiling "reference" takes no other than 1. strength: how much of the difference is added, 0 to 1.5.
        progress is called with tiles done and tiles in all after each batch; the latter may fall on the way. Returns an
        array of the picture's shape. Raises ValueError for another array, scale or strength, NonFiniteTiles if the
        network fails on the picture.
        """
        return self.outcome(rgb, progress, scale=scale, strength=strength).image

    def outcome(
        self,
        rgb: ArrayLike,
        progress: Callable[[int, int], None] | None = None,
        *,
        scale: Scale = "auto",
        strength: float = 1.0,
    ) -> Outcome:
        """Restore as `restore` does, and tell the scales as well."""
        rgb = np.asarray(rgb)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(f"the picture is {rgb.dtype} {rgb.shape}; it must be uint8 of shape (height, width, 3)")
        check_scale(scale, strength)
        if self.tiling == "reference":
            if scale not in ("auto", 1):
                raise ValueError(f"scale is {scale:g}; the tiling reference is the authors' protocol, whose scale is 1")
            scale = 1.0
        course = restoration(rgb, self.plan, self.runner.task, scale, strength)
        restored: Pixels | None = None
        done = kept = 0
        while True:
            try:
                work = next(course) if restored is None else course.send(restored)
            except StopIteration as end:
                if progress is not None:
                    progress(done, done)
                outcome: Outcome = end.value
                return replace(outcome, tiles=done, kept=kept)
            stitcher, total, most = Stitcher(work.plan), len(work.plan), self.runner.max_tiles
            for start in range(0, total, most):
                batch = range(start, min(start + most, total))
                results = self.runner.run(np.stack([cut(work.image, work.plan, index) for index in batch]))
                if results.lost:
                    raise NonFiniteTiles([batch[index] for index in results.lost])
                kept += len(results.kept)
                for index, tile in zip(batch, results.tiles, strict=True):
                    stitcher.add(index, tile)
                if progress is not None:
                    progress(done + batch.stop, done + total + work.later)
            done += total
            restored = stitcher.image()
