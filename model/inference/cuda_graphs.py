"""CUDA graphs of one function on tiles, for a few batch sizes, with buffers that never move.

A batch of small tiles is hundreds of short kernels, which take longer to launch than to run; a graph launches them all
at once. While one batch computes, the next is copied to the device and the last one back. Knows nothing of networks: a
function of a uint8 tensor, returning tensors with one row a tile.
"""

import functools
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from model.inference.precision import PROCESS_WIDE, bearable
from model.inference.tiling import Pixels

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE

Function = Callable[[Tensor], tuple[Tensor, Tensor]]

SLOTS = 2
"""Batches under way in one graph: one computes while another is copied."""


class Card:
    """Hold what all networks on one CUDA device share: streams, the graphs' memory and whose turn it is.

    Graphs of one device run one after the other on one stream, so all of them, of both tasks, can share one pool.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.turn = threading.RLock()
        with torch.cuda.device(device):
            self.computing, self.arriving, self.leaving = (torch.cuda.Stream(device) for _ in range(3))
            self.pool = torch.cuda.graph_pool_handle()


@functools.cache
def card(device: torch.device) -> Card:
    """Return a device's card; there is one of each in a process."""
    return Card(device)


class Slot:
    """Hold one batch on its way: pinned memory on the host and a copy beside the graph on the device, in and out."""

    def __init__(self, tiles: Tensor, outputs: Iterable[Tensor]) -> None:
        self.host_in = torch.zeros(tiles.shape, dtype=tiles.dtype, pin_memory=True)
        self.device_in = torch.empty_like(tiles)
        self.device_out = [torch.empty_like(out) for out in outputs]
        self.host_out = [torch.empty(out.shape, dtype=out.dtype, pin_memory=True) for out in outputs]
        self.done = torch.cuda.Event(blocking=True)  # who waits leaves the core to those that decode and encode


class Graph:
    """Hold one captured batch size. Raises what the device raises, and RuntimeError if the graph's result is wrong."""

    def __init__(self, function: Function, tiles: Pixels, card: Card, pool: "_POOL_HANDLE") -> None:
        self._card = card
        # A capture that another thread's disturbs is lost, so there is one at a time in the process.
        with PROCESS_WIDE, torch.cuda.device(card.device), torch.cuda.stream(card.computing):
            self._device_in = torch.from_numpy(tiles).to(card.device)
            for _ in range(2):  # libraries choose kernels and take workspaces in the first runs, not in the capture
                function(self._device_in)
            eager = function(self._device_in)
            self._graph = torch.cuda.CUDAGraph()
            # Without a stream of its own torch would capture on the device that happens to be current.
            with torch.cuda.graph(self._graph, pool, card.computing, capture_error_mode="thread_local"):
                self._device_out = function(self._device_in)
            for out in self._device_out:
                out.zero_()  # what an earlier run left there must not pass for the graph's
            self._graph.replay()
            if not bearable(self._device_out[0], eager[0]) or not torch.equal(self._device_out[1], eager[1]):
                raise RuntimeError(f"a graph of {len(tiles)} tiles does not give what the network gives")
            self._slots: SimpleQueue[Slot] = SimpleQueue()
            for _ in range(SLOTS):
                self._slots.put(Slot(self._device_in, self._device_out))
            card.computing.synchronize()

    def run(self, tiles: Pixels) -> tuple[Tensor, Tensor]:
        """Run up to as many tiles as were captured; from any thread."""
        slot, card = self._slots.get(), self._card
        try:
            slot.host_in[: len(tiles)] = torch.from_numpy(tiles)
            with card.turn, torch.cuda.device(card.device):
                with torch.cuda.stream(card.arriving):
                    slot.device_in.copy_(slot.host_in, non_blocking=True)
                card.computing.wait_stream(card.arriving)
                with torch.cuda.stream(card.computing):
                    self._device_in.copy_(slot.device_in, non_blocking=True)
                    self._graph.replay()
                    for beside, out in zip(slot.device_out, self._device_out, strict=True):
                        beside.copy_(out, non_blocking=True)
                card.leaving.wait_stream(card.computing)
                with torch.cuda.stream(card.leaving):
                    for host, beside in zip(slot.host_out, slot.device_out, strict=True):
                        host.copy_(beside, non_blocking=True)
                slot.done.record(card.leaving)
            slot.done.synchronize()
            restored, usable = (out[: len(tiles)].clone() for out in slot.host_out)
            return restored, usable
        finally:
            self._slots.put(slot)


class GraphedFunction:
    """Run a function through the smallest captured batch size that holds the tiles.

    example: gives so many tiles to capture and compare with. shared: put the graphs into the device's common pool,
    whose memory comes back only with the last of them; otherwise it comes back with these.
    """

    def __init__(
        self, function: Function, example: Callable[[int], Pixels], device: torch.device, shared: bool = True
    ) -> None:
        self._function, self._example = function, example
        self._shape = example(1).shape[1:]
        self._card = card(device)
        with torch.cuda.device(device):
            self._pool = self._card.pool if shared else torch.cuda.graph_pool_handle()
        self._graphs: dict[int, Graph] = {}

    def capture(self, counts: Iterable[int]) -> None:
        """Add batch sizes, the largest first, in whose memory the smaller ones then fit.

        Raises what the device raises, and RuntimeError if a graph is wrong.
        """
        for count in sorted(set(counts) - self._graphs.keys(), reverse=True):
            self._graphs[count] = Graph(self._function, self._example(count), self._card, self._pool)

    def run(self, tiles: Pixels) -> tuple[Tensor, Tensor] | None:
        """Run tiles (n, tile, tile, 3), or return None if no captured size fits them."""
        bucket = smallest_bucket(self._graphs, len(tiles))
        if bucket is None or tiles.shape[1:] != self._shape:
            return None
        return self._graphs[bucket].run(tiles)


def smallest_bucket(buckets: "dict[int, Graph] | set[int]", count: int) -> int | None:
    """Return the smallest bucket of at least `count`, if there is one."""
    return min((bucket for bucket in buckets if bucket >= count), default=None)
