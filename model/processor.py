"""The processor as PyTorch should use it: no more threads than it may have, tiles side by side, memory that is kept.

Knows nothing of networks: functions of a uint8 tensor, returning tensors with one row a tile.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Function = Callable[[Tensor], tuple[Tensor, Tensor]]

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""glibc's numbers for the parameters of mallopt(3); all three are counted in bytes."""


def prepare() -> int:
    """Fit PyTorch to the processor, for the whole process; return how many threads may compute at once."""
    threads = min(torch.get_num_threads(), usable_cpus())
    torch.set_num_threads(threads)
    keep_freed_memory()
    return threads


def usable_cpus(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Count the CPUs this process may use: those it may be scheduled on, and no more than its control group's quota.

    PyTorch starts a thread for every core of the machine, of which a container may have two.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        if (groups / "cpu.max").exists():  # version 2 of control groups
            quota, period = map(int, (groups / "cpu.max").read_text().split())
        else:
            quota, period = (int((groups / "cpu" / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):  # no such file, or "max"
        return cpus
    return max(1, min(cpus, quota // period)) if quota > 0 else cpus


def keep_freed_memory() -> None:
    """Let glibc keep what is freed up to a gigabyte, where it is the allocator.

    Otherwise it returns large tensors to the kernel and takes them back page by page: 1,600 to 8,000 faults a tile,
    which doubled a tile's time. Buffers over 32 MB, such as whole pictures, still go back.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**30)
        mallopt(M_TOP_PAD, 2**26)  # more than a thread's heap, which would be given back as soon as it is empty
        mallopt(M_MMAP_THRESHOLD, 2**25)


class SideBySide:
    """Run a function on tiles, one thread a tile, instead of all threads on one batch.

    Threads that share a layer wait for each other at its end, hundreds of times a tile; threads with a tile each wait
    once. On two idle cores that makes 0.088 s of 0.110; with other processes on the cores several times as much.
    """

    def __init__(self, function: Function, threads: int) -> None:
        self.threads = threads
        self._function = function
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tile")

    def run(self, tiles: np.ndarray) -> tuple[Tensor, Tensor] | None:
        """Run tiles (n, tile, tile, 3), or return None if they are too few to keep half the threads busy."""
        if 2 * len(tiles) <= self.threads:
            return None
        threads = torch.get_num_threads()
        try:
            done = [self._pool.submit(self._run_one, tile) for tile in torch.from_numpy(tiles).split(1)]
            wait(done)  # all of them, before one failure is raised
            restored, finite = zip(*[future.result() for future in done], strict=True)
        finally:
            torch.set_num_threads(threads)  # MKL keeps one number for the whole process
        return torch.cat(restored), torch.cat(finite)

    @torch.inference_mode()
    def _run_one(self, tile: Tensor) -> tuple[Tensor, Tensor]:
        torch.set_num_threads(1)
        return self._function(tile)
