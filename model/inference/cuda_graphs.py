"""CUDA graphs of one function on tiles, for a few batch sizes, with buffers that never move.

A batch of small tiles is hundreds of short kernels, which take longer to launch than to run; a graph launches them all
at once. Knows nothing of networks: a function of a uint8 tensor, returning tensors with one row a tile.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from model.inference.tiling import Pixels

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE

Function = Callable[[Tensor], tuple[Tensor, Tensor]]


class Graph:
    """Hold one captured batch size: pinned memory on the host, fixed tensors on the device, and what lies between."""

    def __init__(self, function: Function, count: int, tile: int, device: torch.device, pool: "_POOL_HANDLE") -> None:
        self._host_in = torch.zeros((count, tile, tile, 3), dtype=torch.uint8, pin_memory=True)
        self._device_in = self._host_in.to(device)
        stream = torch.cuda.Stream(device)
        with torch.cuda.stream(stream):
            for _ in range(2):  # libraries choose kernels and take workspaces in the first runs, not in the capture
                function(self._device_in)
        torch.cuda.current_stream(device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            self._device_out = function(self._device_in)
        self._host_out = [torch.empty(out.shape, dtype=out.dtype, pin_memory=True) for out in self._device_out]
        self._stream = torch.cuda.current_stream(device)

    def run(self, tiles: Pixels) -> tuple[Tensor, Tensor]:
        """Run up to `count` tiles; the tensors returned are overwritten by the next run."""
        self._host_in[: len(tiles)] = torch.from_numpy(tiles)
        self._device_in.copy_(self._host_in, non_blocking=True)
        self._graph.replay()
        for host, device in zip(self._host_out, self._device_out, strict=True):
            host.copy_(device, non_blocking=True)
        self._stream.synchronize()
        restored, usable = (out[: len(tiles)] for out in self._host_out)
        return restored, usable


class GraphedFunction:
    """Run a function through the smallest captured batch size that holds the tiles."""

    def __init__(self, function: Function, tile: int, device: torch.device) -> None:
        self._function = function
        self._tile = tile
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[int, Graph] = {}

    def capture(self, count: int) -> None:
        """Add a batch size; raises what the device raises, such as running out of memory."""
        if count not in self._graphs:
            self._graphs[count] = Graph(self._function, count, self._tile, self._device, self._pool)

    def forget_above(self, count: int) -> None:
        """Give up the batch sizes above one, and their memory."""
        self._graphs = {size: graph for size, graph in self._graphs.items() if size <= count}

    def run(self, tiles: Pixels) -> tuple[Tensor, Tensor] | None:
        """Run tiles (n, tile, tile, 3), or return None if no captured size fits them."""
        bucket = smallest_bucket(self._graphs, len(tiles))
        if bucket is None or tiles.shape[1] != self._tile:
            return None
        return self._graphs[bucket].run(tiles)


def smallest_bucket(buckets: "dict[int, Graph] | set[int]", count: int) -> int | None:
    """Return the smallest bucket of at least `count`, if there is one."""
    return min((bucket for bucket in buckets if bucket >= count), default=None)
