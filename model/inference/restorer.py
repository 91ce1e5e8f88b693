"""Whole pictures restored in one synchronous call: for the library, the command line and evaluation.

Knows nothing of files or requests: an array in, an array out.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from model.checkpoints.catalog import shipped
from model.checkpoints.checkpoint import TASKS
from model.inference.contract import NonFiniteTiles
from model.inference.devices import resolve_device
from model.inference.runner import TileRunner
from model.inference.scales import Course, Outcome, Scale, check_scale, restoration
from model.inference.tiling import Pixels, Stitcher, TilePlan, cut

TILINGS = ("blend", "reference")
REFERENCE_TILE = 128
"""The authors' test window in pixels."""

Report = Callable[[int, int], None]
"""Is told how many tiles are done, and how many there are in all."""


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
        weights: Path | str,
        device: str = "auto",
        tiling: str = "blend",
        precision: str = "auto",
        sha256: str | None = None,
    ) -> "Restorer":
        """Load the shipped weights for a task, "derain" or "dehaze", or a weights file by its path.

        device: auto, cpu, cuda or cuda:N. precision: auto or fp32. sha256: what a file must have.
        Raises WeightsError naming the file and what is wrong with it, ValueError for the other arguments.
        """
        if tiling == "reference" and precision == "auto":
            precision = "fp32"
        if weights in TASKS:
            path, sha256 = shipped(str(weights), resolve_device(device).type)
        else:
            path = Path(weights)
        return cls(TileRunner.load(path, device, precision, sha256), tiling)

    def plan(self, height: int, width: int) -> TilePlan:
        """Lay the tiles for a picture of height × width pixels."""
        if self.tiling == "reference":
            return TilePlan(height, width, REFERENCE_TILE, 0)
        info = self.runner.info
        return TilePlan(height, width, info.tile, info.overlap, info.overview)

    def restore(
        self,
        rgb: ArrayLike,
        progress: Report | None = None,
        *,
        scale: Scale = "auto",
        strength: float = 1.0,
    ) -> Pixels:
        """Restore an RGB picture of any size from 1×1 up: an array, uint8 (H, W, 3), or a PIL image of mode RGB.

        scale: the part of its size at which the picture is restored, 1/16 to 1; "auto" finds where the rain is.
            Tiling "reference" takes no other than 1. strength: how much of the difference is added, 0 to 1.5.
        progress is called with tiles done and tiles in all after each tile; the latter may fall on the way. Returns an
        array of the picture's shape. Raises ValueError for another array, scale or strength, NonFiniteTiles if the
        network fails on the picture.
        """
        return self.outcome(rgb, progress, scale=scale, strength=strength).image

    def outcome(
        self,
        rgb: ArrayLike,
        progress: Report | None = None,
        *,
        scale: Scale = "auto",
        strength: float = 1.0,
    ) -> Outcome:
        """Restore as `restore` does, and tell the scales as well."""
        (outcome,) = self._run(iter([self._begin(rgb, scale, strength, progress)]))
        return outcome

    def restore_many(
        self, pictures: Iterable[ArrayLike], *, scale: Scale = "auto", strength: float = 1.0
    ) -> Iterator[Pixels]:
        """Restore pictures of any sizes one after the other, each as `restore` does, and yield them in their order.

        Tiles of several pictures share a batch, which is worth most on a GPU and for small pictures. The next picture
        is asked for when those under way no longer fill a batch, so a stream of pictures may be endless.
        """
        begun = (self._begin(rgb, scale, strength) for rgb in pictures)
        return (outcome.image for outcome in self._run(begun))

    def restore_tensor(self, images: Tensor, *, scale: Scale = "auto", strength: float = 1.0) -> Tensor:
        """Restore a tensor (N, 3, H, W) or (3, H, W), floating, RGB in [0, 1], into one of its shape, dtype and device.

        It is rounded to 8 bits on the way and has no gradient; the network itself, a torch.nn.Module, knows neither
        limit (docs/library.md). Raises ValueError for another tensor, and what `restore` raises.
        """
        if images.ndim not in (3, 4) or images.shape[-3] != 3 or not images.is_floating_point():
            raise ValueError(f"the tensor is {images.dtype} {tuple(images.shape)}; it must be floating (…, 3, H, W)")
        batch = images.detach().reshape(-1, *images.shape[-3:]).permute(0, 2, 3, 1)
        pixels = batch.float().clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
        restored = np.empty_like(pixels)
        for index, picture in enumerate(self.restore_many(pixels, scale=scale, strength=strength)):
            restored[index] = picture
        tensor = torch.from_numpy(restored).to(images.device).permute(0, 3, 1, 2)
        return tensor.float().div(255).to(images.dtype).reshape(images.shape)

    def _begin(self, rgb: ArrayLike, scale: Scale, strength: float, progress: Report | None = None) -> "_Picture":
        rgb = np.asarray(rgb)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(f"the picture is {rgb.dtype} {rgb.shape}; it must be uint8 of shape (height, width, 3)")
        check_scale(scale, strength)
        if self.tiling == "reference":
            if scale not in ("auto", 1):
                raise ValueError(f"scale is {scale:g}; the tiling reference is the authors' protocol, whose scale is 1")
            scale = 1.0
        return _Picture(restoration(rgb, self.plan, self.runner.task, scale, strength), progress)

    def _run(self, pictures: Iterator["_Picture"]) -> Iterator[Outcome]:
        """Yield the outcomes of pictures in their order; a batch takes its tiles from the first that have some."""
        under_way: deque[_Picture] = deque()
        while True:
            most = self.runner.max_tiles
            batch = list(islice(chain.from_iterable(picture.tiles() for picture in under_way), most))
            # Pictures that need no tile do not fill a batch, so their number has a bound of its own.
            while len(batch) < most and len(under_way) <= most and (picture := next(pictures, None)):
                under_way.append(picture)
                batch += list(islice(picture.tiles(), most - len(batch)))
            if batch:
                results = self.runner.run(np.stack([picture.cut(index) for picture, index in batch]))
                if results.lost:
                    first = batch[results.lost[0]][0]
                    lost = (batch[place] for place in results.lost)
                    raise NonFiniteTiles([index for picture, index in lost if picture is first])
                for place, ((picture, index), tile) in enumerate(zip(batch, results.tiles, strict=True)):
                    picture.add(index, tile, kept=place in results.kept)
            while under_way and (outcome := under_way[0].outcome):
                under_way.popleft()
                yield outcome
            if not (batch or under_way):
                return


class _Picture:
    """One picture on its way: the image that is to be restored next, and which of its tiles are back."""

    def __init__(self, course: Course, progress: Report | None) -> None:
        self._course, self._progress = course, progress
        self._done = self._kept = 0
        self.outcome: Outcome | None = None
        self._go_on(None)

    def tiles(self) -> Iterator[tuple["_Picture", int]]:
        """Yield what a batch may take: the picture with the number of each tile that is not back yet."""
        if self.outcome is None:
            yield from ((self, index) for index in range(self._back, len(self._work.plan)))

    def cut(self, index: int) -> Pixels:
        """Cut one tile."""
        return cut(self._work.image, self._work.plan, index)

    def add(self, index: int, tile: Pixels, kept: bool) -> None:
        """Take a tile back, restored or kept as it was; they come in their order. After the last the course goes on."""
        self._stitcher.add(index, tile)
        self._kept += kept
        self._back += 1
        total = len(self._work.plan)
        self._report(self._done + self._back, self._done + total + self._work.later)
        if self._back == total:
            self._done += total
            self._go_on(self._stitcher.image())

    def _go_on(self, restored: Pixels | None) -> None:
        try:
            self._work = next(self._course) if restored is None else self._course.send(restored)
        except StopIteration as end:
            self.outcome = replace(end.value, tiles=self._done, kept=self._kept)
            self._report(self._done, self._done)
        else:
            self._stitcher, self._back = Stitcher(self._work.plan), 0

    def _report(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(done, total)
