"""The processor as PyTorch should use it: no more threads than it may have, tiles side by side, memory that is kept.

Knows nothing of networks: functions of a uint8 tensor, returning tensors with one row a tile.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from heapq import heappop, heappush
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Function = Callable[[Tensor], tuple[Tensor, Tensor]]

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""glibc's numbers for the parameters of mallopt(3); all three are counted in bytes."""

COMPANY_SECONDS = 0.001
"""How long tiles that would get several threads each wait for others: one picture's come from several threads."""


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
    """Run functions on tiles, each tile with its share of the threads, instead of all threads on one batch.

    Threads that share a layer wait for each other at its end, hundreds of times a tile; threads with a tile each never
    do. On two idle cores that makes 0.088 s of 0.110; with other processes on the cores several times as much. So a
    tile alone gets all threads, and under load each gets one. Any number of threads may call `run` at once; their tiles
    never have more threads than there are, and wait for them instead; only an express tile waits for none. A single
    tile that gets one thread has the caller's: waking another costs 0.8% of a tile.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._before = torch.get_num_threads()
        self._changed = threading.Condition()
        self._tiles = 0  # running or about to
        self._free = threads  # that no tile has
        self._crowd = 0  # tiles when the last one started
        # A thread that has led a team keeps it. The first idle one leads, so that number n never leads more than
        # threads / (n + 1), and all teams together stay a few times as many as the threads.
        self._idle = list(range(threads))
        self._leaders = [ThreadPoolExecutor(1, f"tile-{number}") for number in self._idle]

    def run(self, function: Function, tiles: np.ndarray, express: bool = False) -> tuple[Tensor, Tensor]:
        """Run tiles (n, tile, tile, 3), n ≥ 1; raises what the function raises, when none of them runs any more.

        express: wait for nobody; the caller's is then a thread more than there are.
        """
        done: list[Future[tuple[Tensor, Tensor]]] = []
        try:
            with self._changed:
                self._tiles += len(tiles)
                self._changed.notify_all()
                if not express:
                    self._changed.wait_for(lambda: self._tiles >= self.threads, COMPANY_SECONDS)
            for tile in torch.from_numpy(tiles)[:, None]:
                done.append(self._start(function, tile, alone=len(tiles) == 1, express=express))
        finally:
            wait(done)
            with self._changed:
                self._tiles -= len(tiles) - len(done)
        restored, finite = zip(*[future.result() for future in done], strict=True)
        return torch.cat(restored), torch.cat(finite)

    def _start(self, function: Function, tile: Tensor, alone: bool, express: bool) -> Future[tuple[Tensor, Tensor]]:
        threads = 1 if express else self._claim()
        if express or (alone and threads == 1):
            done: Future[tuple[Tensor, Tensor]] = Future()
            try:
                done.set_result(self._run_one(function, tile, threads, express))
            except BaseException as error:  # noqa: BLE001 - `run` raises it, as one from another thread
                done.set_exception(error)
            return done
        with self._changed:
            leader = heappop(self._idle)
        return self._leaders[leader].submit(self._run_one, function, tile, threads, express, leader)

    def _claim(self) -> int:
        """Wait for a thread that no tile has, and return how many the next tile may have."""
        with self._changed:
            # Told before the wait and remembered for one tile: else two callers under load, each of which finds the
            # other between two tiles, go on to take all threads in turns, at half the rate of one thread each.
            share = max(1, self.threads // max(self._tiles, self._crowd))
            self._crowd = self._tiles
            self._changed.wait_for(lambda: self._free)
            threads = min(self._free, share)
            self._free -= threads
            return threads

    @torch.inference_mode()
    def _run_one(
        self, function: Function, tile: Tensor, threads: int, express: bool, leader: int | None = None
    ) -> tuple[Tensor, Tensor]:
        torch.get_num_threads()  # a thread's first call of these takes what any thread has set last
        torch.set_num_threads(threads)
        try:
            return function(tile)
        finally:
            with self._changed:
                self._tiles -= 1
                if not express:
                    self._free += threads
                if leader is not None:
                    heappush(self._idle, leader)
                self._changed.notify_all()
            torch.set_num_threads(self._before)
