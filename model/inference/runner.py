"""The only code that runs the network outside training: uint8 tiles in, uint8 tiles out, on one device.

Knows nothing of images, requests or queues. Device, precision, memory layout, warm-up and the answers to running out of
memory, to values that are not finite and to noise exist here once, for service, command line, evaluation and
scale-out alike.
"""

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoints.checkpoint import CheckpointInfo, file_sha256, load_checkpoint
from model.inference.contract import DeviceFault, TileResults
from model.inference.cpu_threads import prepare, run_each
from model.inference.cuda_graphs import GraphedFunction
from model.inference.onednn import can_fuse, rearranged
from model.inference.plausibility import plausible
from model.inference.tiling import Pixels
from model.network.network import DMSR

PRECISIONS = ("auto", "fp32")

MEAN_ERROR, RARE_ERROR = 0.3, 3
"""What bfloat16 may differ from float32 by: on the mean, and in one value of a thousand, in 8-bit steps."""


class TileRunner:
    """Hold one network on one device and run batches of its tiles.

    It is a model.inference.contract.Runner, which says what its attributes mean. A device other than the processor must
    always be called from the same thread. max_tiles falls when the device runs out of memory.
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
        self.precision = resolve_precision(precision, self.device)
        self.max_tiles = max_tiles
        self.memory_splits = 0
        self.fp32_retries = 0
        self._network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # missing in the stub
        self._fast = _fastest(self._network, self.device, self.precision)
        self._graphs: GraphedFunction | None = None  # captured by warm_up
        if self.device.type == "cuda":
            self._graphs = GraphedFunction(self._restore, self.tile, self.device)
        self.threads = prepare() if self.device.type == "cpu" else 0
        self._counting = threading.Lock()

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

        Weights that come out too coarse in bfloat16 run in float32 from here on; `precision` tells.
        Doubling stops as soon as it no longer pays, on GPUs after a few. On a processor a tile for each thread is the
        best, so nothing else is tried. Returns the seconds of the device's time that each batch size took.
        """
        seconds: dict[int, float] = {}
        count = 1
        if self.threads:
            count = self.max_tiles = min(self.threads, self.max_tiles)
        self._check_precision()
        while count <= self.max_tiles:
            batch = np.full((count, self.tile, self.tile, 3), 127, np.uint8)
            self._prepare(count)
            if not seconds:
                self.run(batch)  # the first run of all sets libraries up
            start = clock()
            self.run(batch)
            seconds[count] = clock() - start
            half = seconds.get(count // 2)
            if half and count / seconds[count] < 1.05 * (count // 2) / half:
                break
            count *= 2
        best = max(size / taken for size, taken in seconds.items())
        self.max_tiles = next(size for size, taken in seconds.items() if size / taken >= 0.95 * best)
        if self._graphs:
            self._graphs.forget_above(self.max_tiles)
        return {1: 1 / best} if self.threads else seconds

    def _check_precision(self) -> None:
        if self.precision == "fp32":
            return
        tile = torch.from_numpy(_patterned(self.tile)).to(self.device)
        with torch.inference_mode():
            coarse, exact = (self._restore(tile, precision)[0].float() for precision in (self.precision, "fp32"))
        error = (coarse - exact).abs()
        if error.mean() > MEAN_ERROR or error.flatten().quantile(0.999) > RARE_ERROR:
            self.precision = "fp32"
            self._fast = _fastest(self._network, self.device, "fp32")

    @torch.inference_mode()
    def _prepare(self, count: int) -> None:
        if self._graphs:
            try:
                self._graphs.capture(count)
            except torch.OutOfMemoryError:
                self.max_tiles = max(1, count // 2)

    def run(self, tiles: Pixels, threads: int | None = None) -> TileResults:
        """Restore tiles (n, tile, tile, 3), n ≥ 1, in RGB.

        threads: how many compute on a processor, all by default. Calls from several threads must share them out.
        Any tile side the network takes is accepted; the weights' own is `tile`.
        Raises DeviceFault, or what else the network raises, such as running out of memory on one tile.
        """
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
                    self.memory_splits += 1
                if self._graphs:
                    self._graphs.forget_above(self.max_tiles)
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
            again, usable_again = self._compute(tiles[bad.tolist()], "fp32", threads)
            restored[bad], usable[bad] = again.to(restored.device), usable_again.to(restored.device)
        finite, possible = usable.cpu().unbind(dim=1)
        kept, lost = torch.nonzero(finite & ~possible).flatten().tolist(), torch.nonzero(~finite).flatten().tolist()
        done = restored.cpu().numpy()
        done[kept] = tiles[kept]
        return TileResults(done, kept, lost)

    def _compute(self, tiles: Pixels, precision: str, threads: int | None) -> tuple[Tensor, Tensor]:
        restore, batch = partial(self._restore, precision=precision), torch.from_numpy(tiles)
        if self.threads:
            return run_each(restore, batch, threads or self.threads, self.threads)
        return restore(batch.to(self.device))

    def _restore(self, tiles: Tensor, precision: str | None = None) -> tuple[Tensor, Tensor]:
        """Restore uint8 (n, H, W, 3) on the device; of each tile bool (n, 2) says if it is finite and if plausible."""
        x = tiles.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
        precision = precision or self.precision
        with _precision(precision, self.device):
            y = (self._fast if precision == self.precision else self._network)(x)[0].float()
        finite = torch.isfinite(y).flatten(1).all(dim=1)
        y = y.nan_to_num_().clamp_(0, 1)
        usable = torch.stack([finite, plausible(x, y)], dim=1)
        return y.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1), usable


def resolve_device(device: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:1" into a device; "auto" is CUDA where there is one.

    Raises ValueError naming the value if it is not a device or not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}; it must be auto, cpu, cuda or cuda:N") from error
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device is {device!r}, but PyTorch sees {torch.cuda.device_count()} CUDA devices")
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"device is {device!r}; only cpu and cuda are supported")
    return resolved


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn "auto" into "bf16" where the device multiplies bfloat16 in hardware, else "fp32"."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if not can_fuse():
        return "fp32"
    # Without these instructions bfloat16 is emulated and slower than float32.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "fp32"


def _fastest(network: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """Return the form of a network that runs fastest; the one given keeps its float32."""
    if device.type == "cpu" and can_fuse() and isinstance(network, DMSR):
        return rearranged(network, torch.bfloat16 if precision == "bf16" else torch.float32)
    return with_bf16_convolutions(network) if precision == "bf16" else network


def _patterned(side: int) -> Pixels:
    """Draw one tile with what pictures are mostly made of: shading, texture and edges."""
    y, x = np.mgrid[:side, :side]
    light = 110 + 50 * np.sin(x / 23) * np.cos(y / 31) + 6 * np.sin(0.9 * x) * np.sin(0.7 * y)
    light += 30 * (x // 37 % 2) * (y > side // 2)
    return np.stack([light, 0.9 * light + 10, 0.8 * light + 25], axis=-1)[None].clip(0, 255).astype(np.uint8)


def with_bf16_convolutions(network: nn.Module) -> nn.Module:
    """Copy a network and cast the parameters of its convolutions, which autocast would do anew for every tile."""
    copied = copy.deepcopy(network)
    for module in copied.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.bfloat16()
    return copied


@contextlib.contextmanager
def _precision(precision: str, device: torch.device) -> Iterator[None]:
    if device.type == "cpu":
        yield
    elif precision == "bf16":
        # The cache of cast weights would be filled inside a graph's capture and freed after it.
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            yield
    else:
        # cuDNN's default for convolutions is TF32, which has ten bits of mantissa: not float32.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
            yield


def _device_lost(error: RuntimeError) -> bool:
    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


def _out_of_memory(error: RuntimeError) -> bool:
    # The CPU allocator has no exception class of its own.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
