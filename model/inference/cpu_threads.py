"""PyTorch on a processor: no more threads than the process may use, tiles side by side, memory that is kept.

Knows nothing of networks and decides nothing: the caller says which tiles and how many threads.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

Function = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Takes tiles, uint8 (n, tile, tile, 3); returns tensors with one row a tile."""

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""glibc's numbers for the parameters of mallopt(3); all three are counted in bytes."""


def prepare() -> int:
    """Fit PyTorch to the processor, for the whole process, and return how many threads it may use."""
    threads = min(torch.get_num_threads(), usable_cpus())
    torch.set_num_threads(threads)
    keep_freed_memory()
    return threads


def usable_cpus(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Count the CPUs this process may use: those it may be scheduled on, and no more than its control group's quota.

    By itself PyTorch starts a thread for every core of the machine, although a container may have only two of them.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Version 2 of control groups has both numbers in one file, version 1 has a file for each.
    files = [groups / name for name in ("cpu.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")]
    try:
        quota, period = map(int, " ".join(file.read_text() for file in files if file.exists()).split())
    except (OSError, ValueError):  # no such file, or "max"
        return cpus
    return max(1, min(cpus, quota // period)) if quota > 0 else cpus


def keep_freed_memory() -> None:
    """Let glibc keep freed memory up to a gigabyte, where it is the allocator.

    Otherwise it returns large tensors to the kernel and takes them back page by page. That is 1,600 to 8,000 page
    faults a tile, and they doubled its time. Buffers over 32 MB, such as whole pictures, still go back.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**30)
        mallopt(M_TOP_PAD, 2**26)  # more than a thread's heap: glibc returns a smaller one as soon as it is empty
        mallopt(M_MMAP_THRESHOLD, 2**25)


def run_each(function: Function, tiles: Tensor, threads: int, usual: int) -> tuple[Tensor, Tensor]:
    """Run a function on each of n ≥ 1 tiles, side by side: each has its part of the threads, at least one.

    Threads that share a tile wait for each other at the end of every layer, hundreds of times a tile. On two idle cores
    two tiles side by side took 0.088 s each where two threads on one batch took 0.110. A single team runs in the
    caller's thread, because waking another costs 0.8% of a tile.

    usual: the process's own number of threads. Raises what the function raises, when no tile runs any more.
    """
    teams = min(len(tiles), threads)

    @torch.inference_mode()
    def run(tile: Tensor) -> tuple[Tensor, Tensor]:
        torch.get_num_threads()  # a thread's first call takes the number that any thread has set last
        torch.set_num_threads(threads // teams)
        try:
            return function(tile)
        finally:
            torch.set_num_threads(usual)

    if teams == 1:
        done = [run(tile) for tile in tiles.split(1)]
    else:
        with ThreadPoolExecutor(teams, "tile") as pool:
            done = list(pool.map(run, tiles.split(1)))
    restored, usable = zip(*done, strict=True)
    return torch.cat(restored), torch.cat(usable)
