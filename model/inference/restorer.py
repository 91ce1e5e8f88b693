"""A whole picture restored in one synchronous call: for the library, the command line and evaluation.

Knows nothing of files or requests: an array in, an array out.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from model.inference.runner import TileRunner
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

    def restore(self, rgb: ArrayLike, progress: Callable[[int, int], None] | None = None) -> Pixels:
        """Restore an RGB picture of any size from 1×1 up: an array, uint8 (H, W, 3), or a PIL image of mode RGB.

        Returns an array of that shape. progress is called with tiles done and tiles in all after each batch. Raises
        ValueError for another array, NonFiniteTiles if the network fails on the picture.
        """
        rgb = np.asarray(rgb)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(f"the picture is {rgb.dtype} {rgb.shape}; it must be uint8 of shape (height, width, 3)")
        plan = self.plan(*rgb.shape[:2])
        stitcher = Stitcher(plan)
        done = 0
        while done < len(plan):
            batch = range(done, min(done + self.runner.max_tiles, len(plan)))
            tiles = self.runner.run(np.stack([cut(rgb, plan, index) for index in batch]))
            for index, tile in zip(batch, tiles, strict=True):
                stitcher.add(index, tile)
            done = batch.stop
            if progress is not None:
                progress(done, len(plan))
        return stitcher.image()
