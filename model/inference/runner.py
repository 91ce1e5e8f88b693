"""The only code that runs the network outside training: uint8 tiles in, uint8 tiles out, on one device.

Knows nothing of images, requests or queues. Device, precision, memory layout, warm-up and the answers to running out of
memory and to values that are not finite exist here once, for service, command line, evaluation and scale-out alike.
Graphs, precision and oneDNN have files of their own; what is left is one state, a device's, and so one file.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.checkpoints.checkpoint import CheckpointInfo, file_sha256, load_checkpoint
from model.inference.contract import DeviceFault, TileResults
from model.inference.cpu_threads import prepare, run_each
from model.inference.cuda_graphs import GraphedFunction, card
from model.inference.devices import resolve_device
from model.inference.plausibility import plausible
from model.inference.precision import bearable, error, fastest_form, in_precision, ladder, patterned
from model.inference.tiling import Pixels
from model.network.network import DMSR

TIMED_RUNS = 3
"""Of which the warm-up takes the fastest, on a device that other work may slow down for a moment."""

_log = logging.getLogger(__name__)


class TileRunner:
    """Hold one network on one device and run batches of its tiles.

    It is a model.inference.contract.Runner, which says what its attributes mean. It may be called from several threads;
    a device other than the processor computes one batch at a time. max_tiles falls when the device runs out of memory.
    The first batch of all, or the warm-up, also tries whether the weights bear the device's fastest precision.
    """

    weights = ""
    sha256 = ""

    def __init__(
        self,
        network: DMSR,
        info: CheckpointInfo,
        device: str = "auto",
        precision: str = "auto",
        max_tiles: int = 8,
    ) -> None:
        """Take a network over; raises ValueError for device or precision."""
        self.info = info
        self.tile = info.tile
        self.device = resolve_device(device)
        self._rungs = list(ladder(precision, self.device))
        self.precision = self._rungs[0]
        self.precision_demotions = 0
        self.max_tiles = max_tiles
        self.memory_splits = 0
        self.fp32_retries = 0
        self._network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # missing in the stub
        self._fast = fastest_form(self._network, self.device, self.precision)
        self._graphs: GraphedFunction | None = None  # captured by warm_up
        self._tuning = False  # whether cuDNN may try its algorithms, in the warm-up alone
        self.threads = prepare() if self.device.type == "cpu" else 0
        self._settled = len(self._rungs) == 1
        self._settling, self._counting = threading.Lock(), threading.Lock()
        self._turn = card(self.device).turn if self.device.type == "cuda" else threading.RLock()

    @classmethod
    def load(
        cls,
        path: Path,
        device: str = "auto",
        precision: str = "auto",
        sha256: str | None = None,
        max_tiles: int = 8,
    ) -> "TileRunner":
        """Load a weights file onto a device; raises WeightsError for the file, ValueError for device or precision."""
        network, info = load_checkpoint(path, sha256)
        runner = cls(network, info, device, precision, max_tiles)
        runner.weights, runner.sha256 = path.stem, sha256 or file_sha256(path)
        return runner

    @property
    def overlaps_host(self) -> bool:
        """Tell whether the device works beside the processor, so that the next batch should be ready before it ends."""
        return self.device.type == "cuda"

    @property
    def batch_tiles(self) -> int:
        """Return how many tiles one batch should have: one for a thread of the processor, else all the device takes."""
        return 1 if self.threads else self.max_tiles

    @property
    def task(self) -> str:
        """Name the task its weights are for."""
        return self.info.task

    @property
    def memory_bytes(self) -> tuple[int, int]:
        """Return the bytes in tensors on its device and those PyTorch holds there; zeros on the CPU: nobody counts."""
        if self.device.type != "cuda":
            return 0, 0
        return torch.cuda.memory_allocated(self.device), torch.cuda.memory_reserved(self.device)

    def warm_up(self, clock: Callable[[], float] = time.perf_counter) -> dict[int, float]:
        """Pay for first-time set-up, and lower max_tiles to the smallest batch within 5% of the best throughput.

        Weights that come out too coarse in a precision run in the next one from here on; `precision` tells.
        Doubling stops as soon as it no longer pays, on GPUs after a few. On a processor a tile for each thread is the
        best, so nothing else is tried. Returns the seconds of the device's time that each batch size took.
        """
        with self._on_device():
            self._settle_precision()
            self._tuning = self.device.type == "cuda"
            try:
                seconds = self._search(clock)
                best = max(size / taken for size, taken in seconds.items())
                self.max_tiles = next(size for size, taken in seconds.items() if size / taken >= 0.95 * best)
                self._keep_graphs(size for size in seconds if size <= self.max_tiles)
            finally:
                self._tuning = False
        return {1: 1 / best} if self.threads else seconds

    def _search(self, clock: Callable[[], float]) -> dict[int, float]:
        """Time batch sizes, each doubled, until that pays no more."""
        seconds: dict[int, float] = {}
        count, runs = 1, TIMED_RUNS
        if self.threads:
            count, runs = min(self.threads, self.max_tiles), 1
            self.max_tiles = count
        if self.device.type == "cuda":
            # In a pool of their own: what the search captures in vain gives its memory back.
            self._graphs = self._graphed(shared=False)
        while count <= self.max_tiles:
            batch = np.full((count, self.tile, self.tile, 3), 127, np.uint8)
            if not self._capture([count]):
                if count > 1:
                    self.max_tiles = count // 2
                    break
                self._graphs = None
            self.run(batch)  # the first run of all sets libraries up, and a graph's first replay takes longer
            if count > self.max_tiles:  # memory ran out
                break
            taken = []
            for _ in range(runs):
                start = clock()
                self.run(batch)
                taken.append(clock() - start)
            seconds[count] = min(taken)
            half = seconds.get(count // 2)
            if half and count / seconds[count] < 1.05 * (count // 2) / half:
                break
            count *= 2
        return seconds

    def _graphed(self, shared: bool) -> GraphedFunction:
        return GraphedFunction(self._restore, partial(patterned, self.tile), self.device, shared)

    def _keep_graphs(self, counts: Iterable[int]) -> None:
        """Capture the batch sizes that stay in the device's common pool."""
        if self._graphs is None:
            return
        self._graphs = None
        torch.cuda.empty_cache()
        self._graphs = self._graphed(shared=True)
        if not self._capture(counts):
            self._graphs = None

    def _capture(self, counts: Iterable[int]) -> bool:
        """Capture batch sizes; after a failure, such as of memory, tell so: the network can always do without."""
        if self._graphs is None:
            return True
        try:
            with torch.inference_mode():
                self._graphs.capture(counts)
            return True
        except RuntimeError as failure:
            _log.warning("no CUDA graph on %s, the network runs without one: %s", self.device, failure)
        # Outside the handler: the exception's frames hold the tensors that did not fit.
        try:
            torch.cuda.synchronize(self.device)
        except RuntimeError as failure:
            raise DeviceFault(str(failure)) from failure
        torch.cuda.empty_cache()
        return False

    def _settle_precision(self) -> None:
        """Step down from the fastest precision until the weights bear one, once."""
        if self._settled:
            return
        with self._settling, torch.inference_mode():
            if self._settled:
                return
            tile = torch.from_numpy(patterned(self.tile)).to(self.device)
            exact = self._restore(tile, "fp32")[0]
            while self.precision != "fp32":
                coarse, usable = self._restore(tile)
                if bool(usable[:, 0].all()) and bearable(coarse, exact):
                    break
                self._demote(*error(coarse, exact))
            self._settled = True

    def _demote(self, mean: float, rare: float) -> None:
        """Go on in the next slower precision, and tell."""
        coarse, self.precision = self.precision, self._rungs[self._rungs.index(self.precision) + 1]
        self._fast = fastest_form(self._network, self.device, self.precision)
        self.precision_demotions += 1
        _log.warning(
            "%s on %s runs in %s: %s differs from float32 by %.2f steps on the mean, by %.0f in one value of 1000",
            *(self.weights or self.task, self.device, self.precision, coarse, mean, rare),
        )

    def _on_device(self) -> contextlib.AbstractContextManager[object]:
        """Make the device the thread's current one, on which torch puts streams, events and captures unasked."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()

    def run(self, tiles: Pixels, threads: int | None = None) -> TileResults:
        """Restore tiles (n, tile, tile, 3), n ≥ 1, in RGB.

        threads: how many compute on a processor, all by default. Calls from several threads must share them out.
        Any tile side the network takes is accepted; the weights' own is `tile`.
        Raises DeviceFault, or what else the network raises, such as running out of memory on one tile.
        """
        with self._on_device():
            self._settle_precision()
            return self._run(tiles, threads)

    def _run(self, tiles: Pixels, threads: int | None) -> TileResults:
        tiles = np.require(tiles, np.uint8, ["C", "W"])  # views of a read-only picture cannot become tensors
        restored = np.empty_like(tiles)
        kept: list[int] = []
        lost: list[int] = []
        start = 0
        while start < len(tiles):
            count = min(self.max_tiles, len(tiles) - start)
            try:
                batch = self._run_batch(tiles[start : start + count], threads)
            except RuntimeError as error:
                if _device_lost(error):
                    raise DeviceFault(str(error)) from error
                if count == 1 or not _out_of_memory(error):
                    raise
                with self._counting:
                    self.max_tiles = min(self.max_tiles, count // 2)
                    self.memory_splits += 1  # graphs stay: their memory comes back only with the last of them
            else:
                restored[start : start + count] = batch.tiles
                kept += [start + index for index in batch.kept]
                lost += [start + index for index in batch.lost]
                start += count
                continue
            # Outside the handler: the exception's frames hold the tensors that did not fit.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return TileResults(restored, kept, lost)

    @torch.inference_mode()
    def _run_batch(self, tiles: Pixels, threads: int | None) -> TileResults:
        restored, usable = (self._graphs and self._graphs.run(tiles)) or self._compute(tiles, self.precision, threads)
        bad = torch.nonzero(~usable.all(dim=1)).flatten()
        if len(bad):
            with self._counting:
                self.fp32_retries += len(bad)
            restored[bad], usable[bad] = self._compute(tiles[bad.tolist()], "fp32", threads)
        finite, possible = usable.unbind(dim=1)
        kept, lost = torch.nonzero(finite & ~possible).flatten().tolist(), torch.nonzero(~finite).flatten().tolist()
        done = restored.numpy()
        done[kept] = tiles[kept]
        return TileResults(done, kept, lost)

    def _compute(self, tiles: Pixels, precision: str, threads: int | None) -> tuple[Tensor, Tensor]:
        """Restore without a graph; what comes back lies in the host's memory."""
        restore, batch = partial(self._restore, precision=precision), torch.from_numpy(tiles)
        if self.threads:
            return run_each(restore, batch, threads or self.threads, self.threads)
        with self._turn:  # two batches at once would need twice the memory
            restored, usable = restore(batch.to(self.device))
            return restored.cpu(), usable.cpu()

    def _restore(self, tiles: Tensor, precision: str | None = None) -> tuple[Tensor, Tensor]:
        """Restore uint8 (n, H, W, 3) on the device; of each tile bool (n, 2) says if it is finite and if plausible."""
        x = tiles.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
        precision = precision or self.precision
        with in_precision(precision, self.device, self._tuning):
            y = (self._fast if precision == self.precision else self._network)(x)[0].float()
        finite = torch.isfinite(y).flatten(1).all(dim=1)
        y = y.nan_to_num_().clamp_(0, 1)
        usable = torch.stack([finite, plausible(x, y)], dim=1)
        return y.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous(), usable


def _device_lost(error: RuntimeError) -> bool:
    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


def _out_of_memory(error: RuntimeError) -> bool:
    # The CPU allocator has no exception class of its own.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
